"""`python -m prune_kit` is `prune-kit`."""

from prune_kit_cli.main import run

if __name__ == "__main__":
    run()
