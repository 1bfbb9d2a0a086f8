# Sourced after environment.sh by what runs the tests, from the root of the repository. `prepare_sdk_0_121` leaves in
# .venv-sdk-0.121 what requirements-sdk-0.121.lock pins: the SDK of mid-2026, whose programs must still work. Two versions
# of one package do not share an environment.

prepare_sdk_0_121() {
    prepare_apart .venv-sdk-0.121 requirements-sdk-0.121.lock
}
