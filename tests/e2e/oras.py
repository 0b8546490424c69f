"""python oras.py BACKEND HOST USER PASSWORD ACTION TARGET [REST…]: one action of the oras library.

BACKEND is `basic`, `token`, or a token to use. A USER of `-` is anonymous.
"""

import sys

# This file is called like the library, and its directory comes first.
del sys.path[0]

import oras.client

backend, host, user, password, action, target = sys.argv[1:7]
rest = sys.argv[7:]
kind = backend if backend in ("basic", "token") else "token"
client = oras.client.OrasClient(hostname=host, insecure=True, tls_verify=False, auth_backend=kind)
if kind != backend:
    client.auth.set_token_auth(backend)
elif user != "-":
    client.auth.set_basic_auth(user, password)

try:
    if action == "push":
        print(client.push(target=target, files=rest, disable_path_validation=True).headers["Docker-Content-Digest"])
    elif action == "pull":
        print(client.pull(target=target, outdir=rest[0], overwrite=True))
    elif action == "tags":
        print(client.get_tags(target))
    elif action == "delete":
        print(client.delete_tags(client.get_container(target), rest))
except Exception as error:  # the library raises whatever it has
    sys.exit(f"{type(error).__name__}: {error}")
