# Sourced after environment.sh by what runs the emulated AWS account, from the root of the repository.
# `prepare_ministack` leaves in .venv-ministack what requirements-ministack.lock pins, and does nothing when that is there
# already. The emulator pins a botocore of its own, so it does not share an environment.

prepare_ministack() {
    prepare_apart .venv-ministack requirements-ministack.lock
}
