# Sourced after environment.sh by what deploys to AWS, from the root of the repository. `prepare_infra` leaves in
# .venv-infra what requirements-infra.lock pins, Node among it, and does nothing when that is there already.

infra_python=.venv-infra/bin/python

infra_fingerprint() {
    "$infra_python" -V 2>/dev/null || return 1
    pwd -P
    cksum requirements-infra.lock
}

prepare_infra() {
    if [ -f .venv-infra/stamp ] && [ "$(infra_fingerprint)" = "$(cat .venv-infra/stamp)" ]; then
        return 0
    fi
    rm -rf .venv-infra
    if command -v uv >/dev/null 2>&1; then
        say "setting up .venv-infra with uv (once)."
        use_pip_settings_for_uv
        uv venv --quiet --seed --python '>=3.11,<3.15' .venv-infra
        uv pip install --quiet --python "$infra_python" --require-hashes -r requirements-infra.lock
    else
        say "setting up .venv-infra with pip (once, about a minute)."
        chosen=$(find_python) || return 1
        "$chosen" -m venv .venv-infra
        "$infra_python" -m pip install --quiet --disable-pip-version-check --require-hashes \
            -r requirements-infra.lock
    fi
    echo '*' >.venv-infra/.gitignore
    infra_fingerprint >.venv-infra/stamp
}
