#!/usr/bin/env bash
#
# Brings up what the tests against real Pulp start from, and keeps it: programs, and a database that is set up.

set -euo pipefail

usage() {
    cat <<'HELP'
usage: tests/pulp.sh [--help]

Makes what the tests against real Pulp start from, as far as it is not there yet:

  target/pulp-venv     Pulp and pulp-cli, as tests/pulp-requirements.txt pins them
  target/pulp-site.tar a PostgreSQL cluster with Pulp's database, migrated, with its superusers `admin` and
                       `registry-writer` (passwords: their names with `-secret`), and the keys and static files
                       that belong to it

Both are made anew when the pins, this script or PostgreSQL change. PostgreSQL is Debian's, and installed when missing. No
server is left running. Needs Debian 12 or newer, and root or sudo. tests/run calls this.
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

requirements=tests/pulp-requirements.txt
venv=$PWD/target/pulp-venv
site=$PWD/target/pulp-site.tar

# Where Debian keeps initdb and postgres: not in anyone's path. The newest, if there are several.
postgres_bin() {
    local initdb
    initdb=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1) || true
    printf '%s' "${initdb%/initdb}"
}

install() {
    if [ -z "$(postgres_bin)" ]; then
        install_packages postgresql
    fi
    if ! /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null; then
        install_packages python3-venv
    fi
    if ! cmp -s "$requirements" "$venv/installed.txt"; then
        echo "Installing into target/pulp-venv: pulpcore, pulp-container, pulp-cli"
        rm -rf "$venv"
        /usr/bin/python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --quiet --disable-pip-version-check --requirement "$requirements"
        cp "$requirements" "$venv/installed.txt"
    fi
}

# What the site was made from; it stands beside it.
inputs() {
    "$bin/postgres" --version
    cat "$requirements" tests/pulp.sh
}

as_postgres() {
    as_root runuser -u postgres -- "$@"
}

# Makes the site in $work, which is the home of nobody else.
make_site() {
    local data=$work/postgres socket=$work/socket
    mkdir "$work/etc" "$work/assets" "$data" "$socket"
    as_root chown postgres: "$data" "$socket"
    openssl rand -base64 50 | tr -d '\n' >"$work/etc/secret_key"
    openssl rand -base64 32 >"$work/etc/fields.key"

    # Small segments: the log is most of a young cluster. Whoever reaches the socket is let in: it is not for everybody.
    as_postgres "$bin/initdb" --pgdata "$data" --username pulp --auth trust --encoding UTF8 --locale C.UTF-8 \
        --wal-segsize 1 --no-sync >/dev/null
    # Nothing of this outlives the tests, so that it need not survive a crash either.
    as_root tee -a "$data/postgresql.conf" >/dev/null <<'CONF'
listen_addresses = ''
unix_socket_permissions = 0700
dynamic_shared_memory_type = mmap
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
jit = off
max_connections = 200
shared_buffers = 32MB
max_wal_size = 64MB
min_wal_size = 2MB
CONF
    as_postgres "$bin/pg_ctl" --pgdata "$data" --silent --wait --log "$data/log" \
        --options "-c unix_socket_directories=$socket" start
    running=$data
    as_postgres "$bin/createdb" --host "$socket" --username pulp pulp

    cat >"$work/etc/settings.py" <<SETTINGS
SECRET_KEY = open("$work/etc/secret_key").read()
DB_ENCRYPTION_KEY = "$work/etc/fields.key"
DEPLOY_ROOT = "$work"
STATIC_ROOT = "$work/assets"
WORKING_DIRECTORY = FILE_UPLOAD_TEMP_DIR = "$work"
ANALYTICS = False
CONTENT_ORIGIN = None
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "HOST": "$socket", "NAME": "pulp", "USER": "pulp"}}
SETTINGS
    manage migrate --noinput
    manage collectstatic --noinput
    # Only the manager can make a superuser: the REST API has no way to.
    manage shell --command '
from django.contrib.auth import get_user_model
for name in ("admin", "registry-writer"):
    user, _ = get_user_model().objects.get_or_create(username=name)
    user.is_superuser = user.is_staff = True
    user.set_password(name + "-secret")
    user.save()
'
    stop
    rm "$work/etc/settings.py"
    as_root rm -f "$data/log"
    as_root tar --create --file "$site.new" --directory "$work" etc assets postgres
    as_root chown "$(id -u):$(id -g)" "$site.new"
    mv "$site.new" "$site"
    inputs >"$site.inputs"
}

manage() {
    as_root env PULP_SETTINGS="$work/etc/settings.py" DJANGO_SETTINGS_MODULE=pulpcore.app.settings \
        "$venv/bin/pulpcore-manager" "$@" >"$work/manager.log" 2>&1 || {
        cat "$work/manager.log" >&2
        die "pulpcore-manager $1 failed"
    }
}

running=
stop() {
    if [ -n "$running" ]; then
        as_postgres "$bin/pg_ctl" --pgdata "$running" --silent --wait --mode fast stop
        running=
    fi
}

work=
clean() {
    stop || true
    if [ -n "$work" ]; then
        as_root rm -rf "$work"
    fi
}

mkdir -p target
install
bin=$(postgres_bin)
if [ ! -e "$site" ] || ! inputs | cmp -s - "$site.inputs"; then
    echo "Setting up Pulp's database: target/pulp-site.tar"
    # Not below target/, which the user postgres may not be able to reach.
    work=$(mktemp -d "${TMPDIR:-/tmp}/tidegate-pulp.XXXXXX")
    trap clean EXIT
    trap 'exit 130' INT TERM
    chmod 711 "$work"
    make_site
fi
