#!/usr/bin/env bash
#
# compose.sh DIRECTORY COMPOSE: starts what DIRECTORY/compose.yaml says with COMPOSE (docker-compose) on a dockerd of its own, pushes
# and pulls through it as alice, and stops it.
#
# DIRECTORY has, beside that and its gateway.toml, tidegate.tar (the image), the password of alice, and app (an OCI layout). Everything runs in
# namespaces of its own, where the addresses and ports are those of nobody else. tests/e2e_deploy/compose.rs calls this.

set -euo pipefail

if [ "${3-}" != inside ]; then
    exec unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private "$BASH" "$0" "$1" "$2" inside
fi

set -x
cd "$1"
compose=$2
ip link set lo up
for dir in /run /opt; do
    mount -t tmpfs tmpfs "$dir"
done
mkdir -p lib/containers
mount --bind lib /var/lib
export DOCKER_HOST=unix://$1/d.sock DOCKER_CONFIG=$1/client

printf '{"deprecated-key-path":"%s"}' "$1/key.json" >daemon.json
dockerd --config-file "$1/daemon.json" --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/d.pid" --host "$DOCKER_HOST" \
    --storage-driver vfs --log-level warn &>dockerd.log &
until docker version >/dev/null 2>&1; do
    kill -0 "$!"
    sleep 0.1
done

# The registry's image, as docker.io/library/registry is made: the program of Debian, with the libraries that it names.
mkdir -p image/etc/docker/registry image/bin
cp "$(command -v docker-registry)" image/bin/registry
ldd image/bin/registry | grep -o '/[^ ]*' | while read -r library; do
    install -D "$library" "image$library"
done
cat >image/etc/docker/registry/config.yml <<'YAML'
version: 0.1
storage:
  filesystem: {rootdirectory: /var/lib/registry}
http: {addr: ":5000"}
YAML
tar -C image -c . | docker import --change 'ENTRYPOINT ["/bin/registry", "serve", "/etc/docker/registry/config.yml"]' \
    --change 'VOLUME /var/lib/registry' - docker.io/library/registry:2.8.3
docker load --input tidegate.tar
docker tag localhost/tidegate:test tidegate

"$compose" up --no-build --pull never --detach
code() {
    curl --silent --max-time 5 --output /dev/null --write-out '%{http_code}' "$1" || true
}
for _ in $(seq 300); do
    if [ "$(code http://127.0.0.1:5000/v2/)" = 401 ]; then
        break
    fi
    sleep 0.1
done

registry=docker://127.0.0.1:5000
skopeo login --tls-verify=false --authfile auth.json --username alice --password-stdin 127.0.0.1:5000 <password
skopeo copy --dest-tls-verify=false --dest-authfile auth.json oci:app:v1 "$registry/alice/app:v1"
skopeo copy --src-tls-verify=false --src-authfile auth.json "$registry/alice/app:v1" dir:pulled
if skopeo copy --src-tls-verify=false --src-no-creds "$registry/alice/app:v1" dir:refused; then
    exit 1
fi
# Only the gateway is published, and its admin pages are not.
test "$(code http://127.0.0.1:5050/v2/)" = 000
test "$(code http://127.0.0.1:5001/healthz)" = 000

# A new container has the same key: the token of before is still good.
token=$(curl --silent --fail --user "alice:$(cat password)" 'http://127.0.0.1:5000/token?scope=repository:alice/app:pull' |
    sed 's/.*"token":"\([^"]*\)".*/\1/')
"$compose" up --no-build --pull never --detach --force-recreate tidegate
for _ in $(seq 300); do
    status=$(curl --silent --max-time 5 --header "Authorization: Bearer $token" --output /dev/null --write-out '%{http_code}' \
        http://127.0.0.1:5000/v2/alice/app/tags/list || true)
    if [ "$status" = 200 ]; then
        break
    fi
    sleep 0.1
done
test "$status" = 200

container=$("$compose" ps --quiet tidegate)
"$compose" stop
test "$(docker inspect --format '{{.State.ExitCode}}' "$container")" = 0
"$compose" logs tidegate
