"""The packages; everything else is in pyproject.toml.

The recipes stay where people look for them, in args/, and are installed as data of ``xumx.recipes``. A link
in their place would be a file with a path in it on Windows, where git makes no links.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["xumx", "xumx.*"]), "xumx.recipes"],
    package_dir={"xumx.recipes": "args"},
)
