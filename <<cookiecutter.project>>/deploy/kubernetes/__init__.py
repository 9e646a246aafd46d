"""A Kubernetes cluster: a namespace for each environment, and in it a Deployment for each of two releases.

    place.py      the target
    cluster.py    the API, through `kubectl proxy`
    answers.py    what it answers, and why it refuses
    manifests.py  what is applied: an overlay, rendered for a release
    pods.py       how pods do, and why they do not
    space.py      one namespace: what it holds, what is done to it
    store.py      what the cluster remembers, and who changes it
    check.py      whether a login may do all that

Its page is docs/kubernetes.md.
"""
