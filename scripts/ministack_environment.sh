# Sourced after environment.sh by what runs the emulated AWS account, from the root of the repository.
# `prepare_ministack` leaves in .venv-ministack what requirements-ministack.lock pins, and does nothing when that is there
# already. The emulator pins a botocore of its own, so it does not share an environment.

ministack_python=.venv-ministack/bin/python

ministack_fingerprint() {
    "$ministack_python" -V 2>/dev/null || return 1
    pwd -P
    cksum requirements-ministack.lock
}

prepare_ministack() {
    if [ -f .venv-ministack/stamp ] && [ "$(ministack_fingerprint)" = "$(cat .venv-ministack/stamp)" ]; then
        return 0
    fi
    rm -rf .venv-ministack
    if command -v uv >/dev/null 2>&1; then
        say "setting up .venv-ministack with uv (once)."
        use_pip_settings_for_uv
        uv venv --quiet --python '>=3.11,<3.15' .venv-ministack
        uv pip install --quiet --python "$ministack_python" --require-hashes -r requirements-ministack.lock
    else
        say "setting up .venv-ministack with pip (once)."
        chosen=$(find_python) || return 1
        "$chosen" -m venv .venv-ministack
        "$ministack_python" -m pip install --quiet --disable-pip-version-check --require-hashes \
            -r requirements-ministack.lock
    fi
    echo '*' >.venv-ministack/.gitignore
    ministack_fingerprint >.venv-ministack/stamp
}
