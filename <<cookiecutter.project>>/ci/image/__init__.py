"""The image of the Bento: built, judged, pushed and vouched for by `package`, trusted or refused by `deploy`.

    engine.py    Docker or podman, and what their failures mean
    names.py     what the image is called, and the login of its registry
    build.py     Dockerfile and assemble.py, from a Bento to layers that depend on nothing else
    judge.py     size, user, packages and licences against gates.yaml, and whether it starts
    papers.py    the model's manifest, the bill of materials, the provenance
    cosign.py    who signs, and what a signature says
    trust.py     what `deploy` asks of a package before it runs anywhere
    registry.py  the registry's own API: what is there, and what may go
    sweep.py     which images are garbage
"""
