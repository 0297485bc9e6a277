"""Packages that say `import llama_cpp`, unmodified, with puna in its place."""

import importlib.util

import pytest


@pytest.fixture(scope="session", autouse=True)
def alias():
    """Not when this file is imported: other tests of the same run may want another llama_cpp, or none."""
    import puna.llama_cpp

    puna.llama_cpp.install()
    yield
    puna.llama_cpp.uninstall()


def is_there(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its package
        return False


def pytest_collection_modifyitems(items):
    for item in items:
        needed = item.get_closest_marker("needs")
        if needed and not is_there(needed.args[0]):
            why = "%s is not installed: ./run-tests does that in CI, or with PUNA_INTEGRATIONS=1" % needed.args[0]
            item.add_marker(pytest.mark.skip(why))


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(module): skip unless the module can be imported")
