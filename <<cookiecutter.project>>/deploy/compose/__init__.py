"""The target `compose`: containers of one host behind a proxy, over the Docker context of the caller.

    place.py      what a release goes through
    wanted.py     what the settings ask for
    slots.py      the containers of a release: started, watched, ended
    proxy.py      haproxy: who gets how many of the requests, who is ready, who is done
    images.py     fetched by digest, kept for a rollback, forgotten
    store.py      what the host must not forget, in a volume of the proxy
    host.py       Docker and its compose plug-in: how to call them, and what their failures mean
    check.py      what a pipeline lacks for it
    compose.yaml  the containers of an environment; haproxy.cfg, what its proxy reads
"""
