"""."""
import argparse


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """."""
