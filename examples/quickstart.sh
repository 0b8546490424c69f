#!/usr/bin/env bash
#
# Tidegate in front of a registry, on this machine, in one command.

set -euo pipefail

usage() {
    cat <<'HELP'
usage: examples/quickstart.sh [--check]

Builds Tidegate, starts Debian's docker-registry on loopback and Tidegate in front of it, pushes and pulls an image
through it, shows a refused push, and keeps running until Ctrl-C. Accounts get random passwords; everything that is
written lies in a temporary directory that goes at the end.

  --check   end after the round trip, with exit code 0 when all went as it should
  --help    print this

Needs Debian 12 or newer and cargo. Missing packages (docker-registry, skopeo, curl, gcc) are installed with apt-get,
as root or through sudo; where they are there, any user can run it. Ports 5000 (Tidegate), 5001 (its health checks) and
5050 (the registry) are taken where they are free, else others.
HELP
}

check=no
for argument in "$@"; do
    case "$argument" in
        --check) check=yes ;;
        -h | --help) usage && exit 0 ;;
        *) usage >&2 && exit 2 ;;
    esac
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/debian.sh
. tests/debian.sh

work=
pids=()
running=no
# shellcheck disable=SC2317  # the trap calls it
cleanup() {
    trap - EXIT INT TERM
    end_processes "${pids[@]}"
    if [ -n "$work" ]; then
        rm -rf "$work"
    fi
}
trap cleanup EXIT
trap 'stopped' INT TERM

# shellcheck disable=SC2317  # the trap calls it
stopped() {
    printf '\nStopping.\n'
    # Ctrl-C is how a session ends, and no way for a check to succeed.
    [ "$running" = yes ] || exit 130
    exit 0
}

say() {
    printf '\n== %s\n' "$*"
}

# make_image DIR: an OCI layout with one small layer, tagged v1. No network, no build tool.
make_image() {
    local unpacked layer config manifest size config_size
    mkdir -p "$1/blobs/sha256" "$1/root"
    printf 'Pushed through Tidegate, %s\n' "$(date -u +%FT%TZ)" >"$1/root/hello.txt"
    tar -C "$1/root" --owner=0 --group=0 -cf "$1/new" hello.txt
    rm -r "$1/root"
    unpacked=$(sha256sum "$1/new" | cut -d' ' -f1)
    # Packed, because skopeo would pack it on its way otherwise, and so make another image of it.
    gzip -n "$1/new"
    mv "$1/new.gz" "$1/new"
    size=$(stat -c %s "$1/new")
    layer=$(add_blob "$1")
    printf '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' "$unpacked" >"$1/new"
    config_size=$(stat -c %s "$1/new")
    config=$(add_blob "$1")
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:%s","size":%s}]}' \
        "$config" "$config_size" "$layer" "$size" >"$1/new"
    size=$(stat -c %s "$1/new")
    manifest=$(add_blob "$1")
    printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"annotations":{"org.opencontainers.image.ref.name":"v1"}}]}' \
        "$manifest" "$size" >"$1/index.json"
    printf '{"imageLayoutVersion":"1.0.0"}' >"$1/oci-layout"
}

# add_blob DIR: files DIR/new under its digest, which it prints.
add_blob() {
    local digest
    digest=$(sha256sum "$1/new" | cut -d' ' -f1)
    mv "$1/new" "$1/blobs/sha256/$digest"
    echo "$digest"
}

# push USER REPOSITORY: the image, as that user, over plain HTTP to loopback.
push() {
    timeout 60 skopeo copy --quiet --dest-tls-verify=false --dest-authfile "$work/$1.json" \
        "oci:$work/image:v1" "docker://$gateway/$2:v1"
}

log_in() {
    printf '%s' "$2" |
        timeout 60 skopeo login --authfile "$work/$1.json" --tls-verify=false --username "$1" --password-stdin "$gateway"
}

require_cargo
install_missing docker-registry=docker-registry skopeo=skopeo curl=curl cc=gcc,libc6-dev

say "Building Tidegate (the first time takes a few minutes)"
cargo build --release --locked
tidegate=$(target_directory)/release/tidegate
[ -x "$tidegate" ] || die "cargo built no $tidegate"

umask 077
work=$(mktemp -d "${TMPDIR:-/tmp}/tidegate-quickstart.XXXXXX")
gateway=127.0.0.1:$(free_port 5000)
admin=127.0.0.1:$(free_port 5001)
registry=127.0.0.1:$(free_port 5050)
alice_password=$(random)
bob_password=$(random)

cat >"$work/registry.yml" <<YAML
version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: $work/registry}
  delete: {enabled: true}
http:
  addr: $registry
  secret: $(random)
YAML

# The hash goes into the file, the password nowhere but to this terminal.
cat >"$work/gateway.toml" <<TOML
[server]
listen = ["$gateway"]
public_url = "http://$gateway"
state_dir = "state"

[admin]
listen = "$admin"

[[upstream]]
name = "registry"
url = "http://$registry"
credentials = "identity"

[[route]]
prefix = "/v2/"
upstream = "registry"
auth = "registry"

[identity]
header = "X-Authentication-Service"
filter = "{identity: {user: {username: .subject}}}"
username = ".identity.user.username"

[users.alice]
password_hash = "$(printf '%s\n' "$alice_password" | "$tidegate" hash-password)"

[users.bob]
password_hash = "$(printf '%s\n' "$bob_password" | "$tidegate" hash-password)"

[[authn]]
kind = "users"

# Everyone owns the repositories below their own name.
[[access]]
who = ["authenticated"]
repositories = ["\${user}/**"]
actions = ["*"]

# Everyone who is logged in may read all of them.
[[access]]
who = ["authenticated"]
repositories = ["**"]
actions = ["pull"]

# What lies below public/ needs no login at all to be pulled.
[[access]]
who = ["anyone"]
repositories = ["public/**"]
actions = ["pull"]

[[access]]
who = ["user:alice"]
repositories = ["public/**"]
actions = ["*"]
TOML

say "Starting the registry on $registry and Tidegate on $gateway"
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 </dev/null &
pids+=("$!")
wait_for docker-registry "$!" "$work/registry.log" "http://$registry/v2/"
"$tidegate" check --config "$work/gateway.toml"
"$tidegate" serve --config "$work/gateway.toml" >"$work/tidegate.log" 2>&1 </dev/null &
pids+=("$!")
wait_for Tidegate "$!" "$work/tidegate.log" "http://$admin/readyz"

say "Logging in, pushing and pulling as alice"
make_image "$work/image"
log_in alice "$alice_password"
log_in bob "$bob_password"
push alice alice/hello
echo "pushed $gateway/alice/hello:v1"
push alice public/hello
echo "pushed $gateway/public/hello:v1"
timeout 60 skopeo copy --quiet --src-tls-verify=false --src-authfile "$work/alice.json" \
    "docker://$gateway/alice/hello:v1" "oci:$work/pulled:v1"
diff -r "$work/image/blobs" "$work/pulled/blobs" || die "the pulled image differs from the pushed one"
echo "pulled $gateway/alice/hello:v1: the same image"

say "A push that is not allowed: bob to alice/hello"
if refusal=$(push bob alice/hello 2>&1); then
    die "bob's push to alice/hello was let through"
fi
case "$refusal" in
    *denied:*)
        # The reason alone, out of skopeo's log line.
        reason=${refusal##*denied: }
        echo "refused, as it should be: denied: ${reason%%[\\\"]*}"
        ;;
    *) die "bob's push failed, but not for want of a right: $refusal" ;;
esac

if [ "$check" = yes ]; then
    say "All as it should be"
    exit 0
fi

cat <<TEXT

== Tidegate is running; Ctrl-C ends it

Log in:

    docker login -u alice -p $alice_password $gateway
    docker login -u bob   -p $bob_password $gateway

What to try next:

    docker tag IMAGE $gateway/alice/app:v1 && docker push $gateway/alice/app:v1
    docker push $gateway/bob/app:v1        # as alice: denied
    skopeo list-tags --tls-verify=false docker://$gateway/public/hello       # needs no login
    curl -i http://$gateway/v2/                                              # the challenge
    curl -u alice:$alice_password "http://$gateway/token?service=$gateway&scope=repository:alice/hello:pull"
    $tidegate explain --config $work/gateway.toml --user bob push alice/hello

Its configuration is $work/gateway.toml,
its log            $work/tidegate.log.
TEXT

running=yes
wait -n "${pids[@]}" || true
tail -n 20 "$work/registry.log" "$work/tidegate.log" >&2
die "the registry or Tidegate ended by itself"
