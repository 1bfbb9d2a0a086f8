# Sourced after environment.sh by what deploys to AWS, from the root of the repository. `prepare_infra` leaves in
# .venv-infra what requirements-infra.lock pins, Node among it, and does nothing when that is there already.

infra_python=.venv-infra/bin/python

prepare_infra() {
    prepare_apart .venv-infra requirements-infra.lock --seed
}
