"""What every store must make of the values of `ports`, whatever it is built on."""
