"""Later events to wait for, where nothing is to happen: once they have shown, it would have, too."""

import re

from deploy.local import Container, wait_until


def hear_everything(consul, label):
    """Until what the engine has told so far was heard and looked at: a container that starts now is registered."""
    with Container(labels=label, env={"SERVICE_NAME": "later"}):
        wait_until(lambda: consul.instances("later"), 20)


def passes(registrar, result="done"):
    """How many full passes have ended so."""
    metrics = registrar.get("/metrics").body
    found = re.search(rf'^registrar_passes_total\{{kind="full",result="{result}"\}} (\d+)', metrics, re.MULTILINE)
    return int(found[1]) if found else 0


def look_again(registrar, result="done", times=2):
    """Until so many more full passes have ended so: all but the first of them have begun after this."""
    before = passes(registrar, result)
    wait_until(lambda: passes(registrar, result) >= before + times, 30)
