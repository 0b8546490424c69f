"""Makes what proxies and clients are given: a key and a certificate, the key as others want it, and tokens in bulk.

Runs in target/compare-venv, for `cryptography`: tokens.py DIRECTORY ISSUER SERVICE COUNT
"""

import base64
import datetime
import hashlib
import ipaddress
import json
import pathlib
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()


class Signer:
    def __init__(self, issuer, service):
        self.key = ec.generate_private_key(ec.SECP256R1())
        point = self.key.public_key().public_numbers()
        self.jwk = {
            "crv": "P-256",
            "kty": "EC",
            "x": encode(point.x.to_bytes(32, "big")),
            "y": encode(point.y.to_bytes(32, "big")),
        }
        # The thumbprint of RFC 7638, by which Tidegate knows its keys.
        self.key_id = encode(hashlib.sha256(compact(self.jwk)).digest())
        self.header = encode(compact({"typ": "JWT", "alg": "ES256", "kid": self.key_id}))
        self.issuer, self.service = issuer, service
        self.count = 0

    def token(self, user="alice", groups=("dev",), repository="team/app"):
        now = int(time.time())
        self.count += 1
        claims = {
            "iss": self.issuer,
            "sub": user,
            "aud": self.service,
            "exp": now + 6 * 3600,
            "nbf": now - 30,
            "iat": now - 30,
            "jti": f"token-{self.count:012d}",
            "access": [{"type": "repository", "name": repository, "actions": ["pull", "push"]}],
            "tidegate": {"kind": "registry", "groups": list(groups), "authn": "users"},
        }
        message = f"{self.header}.{encode(compact(claims))}"
        r, s = decode_dss_signature(self.key.sign(message.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{message}.{encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def certificate(key):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def main():
    directory, issuer, service, count = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    signer = Signer(issuer, service)
    directory.joinpath("key.pem").write_bytes(pem(signer.key))
    directory.joinpath("public.pem").write_bytes(
        signer.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    key = {**signer.jwk, "kid": signer.key_id, "alg": "ES256", "use": "sig"}
    directory.joinpath("jwks.json").write_text(json.dumps({"keys": [key]}))
    tls = ec.generate_private_key(ec.SECP256R1())
    directory.joinpath("tls.key").write_bytes(pem(tls))
    directory.joinpath("tls.crt").write_bytes(certificate(tls))
    directory.joinpath("token").write_text(signer.token())
    # Of a user who has a rule of their own among very many.
    directory.joinpath("token-of-many").write_text(signer.token("user-50000", (), "space-50000/app"))
    with directory.joinpath("tokens").open("w") as tokens:
        for _ in range(count):
            tokens.write(signer.token() + "\n")


main()
