"""Finds the packages. The story lies once in the repository, in data/, and travels inside the package."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["gru_scratch*"]), "gru_scratch.data"],
    package_dir={"gru_scratch.data": "data"},
)
