# Sourced by the other scripts, from the root of the repository. `prepare LOCK NAME` leaves in .venv what LOCK pins and
# the package itself, and does nothing when that is there already. POSIX sh; nothing here needs GNU tools.

python=.venv/bin/python

# A proxy that is set for the outside must not be asked for this machine's own address.
NO_PROXY="127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}"
no_proxy="127.0.0.1,localhost${no_proxy:+,$no_proxy}"
export NO_PROXY no_proxy

say() {
    echo "freehold: $*" >&2
}

# uv does not read pip's settings from the environment, and a company's proxy or mirror is often told to pip alone.
use_pip_settings_for_uv() {
    if [ -n "${PIP_PROXY:-}" ]; then
        export HTTP_PROXY="${HTTP_PROXY:-$PIP_PROXY}" HTTPS_PROXY="${HTTPS_PROXY:-$PIP_PROXY}"
    fi
    if [ -n "${PIP_INDEX_URL:-}" ]; then
        export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"
    fi
    if [ -n "${PIP_CERT:-}" ]; then
        export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
    fi
}

# Prints the first Python that really runs and can make a virtual environment: a version manager puts names on PATH that
# fail when called, and Debian splits ensurepip off.
find_python() {
    for candidate in python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1; then
            echo "$candidate"
            return 0
        fi
    done
    say "needs uv (https://docs.astral.sh/uv/) or Python 3.11 to 3.14 with venv" \
        "(Debian and Ubuntu: apt install python3-venv; macOS: brew install python@3.13)."
    return 1
}

# What the environment was made from, and where: moving the checkout, another lock or another Python make it stale.
# Fails when there is no Python in the environment or it no longer runs.
fingerprint() {
    "$python" -V 2>/dev/null || return 1
    pwd -P
    cksum "$1" pyproject.toml
}

fresh() {
    [ -f ".venv/$2.stamp" ] && [ "$(fingerprint "$1")" = "$(cat ".venv/$2.stamp")" ]
}

install_with_uv() {
    use_pip_settings_for_uv
    rm -rf .venv
    uv venv --quiet --python '>=3.11,<3.15' .venv
    uv pip install --quiet --python "$python" --require-hashes -r "$1"
    uv pip install --quiet --python "$python" --no-deps --no-build-isolation --editable .
}

install_with_pip() {
    chosen=$(find_python) || return 1
    rm -rf .venv
    "$chosen" -m venv .venv
    "$python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$1"
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
        --editable .
}

# prepare LOCK NAME: NAME is `runtime` or `dev`. The development environment holds the runtime one.
prepare() {
    if fresh "$1" "$2" || fresh requirements-dev.lock dev; then
        return 0
    fi
    if command -v uv >/dev/null 2>&1; then
        say "setting up .venv from $1 with uv (once)."
        install_with_uv "$1"
    else
        say "setting up .venv from $1 with pip (once, about a minute)."
        install_with_pip "$1"
    fi
    fingerprint "$1" >".venv/$2.stamp"
}

# prepare_apart FOLDER LOCK [UV OPTION]: leaves in FOLDER what LOCK pins and nothing of ours, for programs whose
# dependencies do not go together with ours, and does nothing when that is there already.
prepare_apart() {
    if [ -f "$1/stamp" ] && [ "$(fingerprint_apart "$1" "$2")" = "$(cat "$1/stamp")" ]; then
        return 0
    fi
    rm -rf "$1"
    if command -v uv >/dev/null 2>&1; then
        say "setting up $1 with uv (once)."
        use_pip_settings_for_uv
        uv venv --quiet ${3:+"$3"} --python '>=3.11,<3.15' "$1"
        uv pip install --quiet --python "$1/bin/python" --require-hashes -r "$2"
    else
        say "setting up $1 with pip (once, about a minute)."
        chosen=$(find_python) || return 1
        "$chosen" -m venv "$1"
        "$1/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$2"
    fi
    echo '*' >"$1/.gitignore"
    fingerprint_apart "$1" "$2" >"$1/stamp"
}

fingerprint_apart() {
    "$1/bin/python" -V 2>/dev/null || return 1
    pwd -P
    cksum "$2"
}
