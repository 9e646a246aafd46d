"""The image of the Bento: built, judged, pushed and vouched for by `package`, trusted or refused by `deploy`.

    build.py     Dockerfile and assemble.py, from a Bento to layers that depend on nothing else
    judge.py     size, user, packages and licences against gates.yaml, and whether it starts
    papers.py    the model's manifest, the bill of materials, the provenance
    cosign.py    who signs, and what a signature says
    trust.py     what `deploy` asks of a package before it runs anywhere
    sweep.py     which images are garbage

Engine, names and the registry's API, which the places need too: deploy/containers.
"""
