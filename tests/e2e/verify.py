"""python verify.py TOKEN pem|jwks FILE AUDIENCE ISSUER: what PyJWT makes of a token with an exported key; prints its claims."""

import json
import sys

import jwt

token, kind, file, audience, issuer = sys.argv[1:6]
with open(file, encoding="utf-8") as source:
    text = source.read()
header = jwt.get_unverified_header(token)
if kind == "pem":
    key = text
else:
    keys = jwt.PyJWKSet.from_json(text).keys
    (key,) = [key for key in keys if key.key_id == header["kid"]]
try:
    claims = jwt.decode(token, key, algorithms=[header["alg"]], audience=audience, issuer=issuer,
                        options={"require": ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "access"]})
except jwt.InvalidTokenError as error:
    sys.exit(type(error).__name__)
print(json.dumps({"header": header, "claims": claims}))
