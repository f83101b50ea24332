"""Everything is declared in setup.cfg; this file is here for the tools that look for it."""

from setuptools import setup

setup()
