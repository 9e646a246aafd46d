"""Containers, as `package` builds their images and the places run them.

    engine.py    Docker or podman, and what their failures mean
    names.py     what the image is called, and the login of its registry
    registry.py  the registry's own API: what is there, and what may go
    index.py     where a build finds packages
"""
