"""The walkthrough as data: what the 2016 article on Docker Flow: Proxy shows, in its order, and what it promises.

The commands use the variables of `Stage.variables`, each printed as an `export` when it is new or has changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from deploy.demo.steps import Step, accepted, answers, entries, says, started, traffic

API = "$API/v1/docker-flow-proxy"
CATALOG = 'curl "$CONSUL/v1/catalog/service/{}?pretty"'
BRIEFLY = CATALOG + " | grep -E '\"Service(ID|Address|Port)\"'"
HELLO = "curl -i $PROXY/demo/hello"
THIRTY = (
    "for i in $(seq 30); do curl -D - -o /dev/null $PROXY/demo/hello; done | grep -i x-instance | tr -d '\\r' "
    "| sort | uniq -c"
)
CATALOG_WITHIN_S = 15.0  # from `docker run` to the catalog; the registrar takes milliseconds, a busy machine more
HELLO_WORLD = "hello, world!"


@dataclass(frozen=True)
class Chapter:
    """A headline and its steps."""

    title: str
    steps: tuple[Step, ...]


class Acts(Protocol):
    """What no command line stands for: that something has come up or has ended."""

    def containers_answer(self) -> None: ...
    def lose_proxy(self) -> None: ...
    def start_elsewhere(self) -> None: ...


def reconfigure(query: str) -> str:
    return f'curl "{API}/reconfigure?{query}"'


def docker_run(name: str, node: int, options: str = "") -> str:
    """A go-demo on a node, published on whatever port Docker picks."""
    return (
        f"docker run -d --name $DEMO-{name} -h {name} --label portbook.demo=$DEMO-node-{node} -p 8080 "
        f"{options}portbook/go-demo"
    )


def chapters(acts: Acts) -> tuple[Chapter, ...]:
    """All of it."""
    return (
        Chapter("A single instance of a service", _single_instance(acts)),
        Chapter("Several instances of a service", _several_instances(acts)),
        Chapter("Several paths", _several_paths()),
        Chapter("Limited to a domain", _domain()),
        Chapter("Removing a service from the proxy", _removal()),
        Chapter("Custom templates", _templates()),
        Chapter("A blue-green switch", _blue_green(acts)),
        Chapter("Proxy failover", _failover(acts)),
    )


def _single_instance(acts: Acts) -> tuple[Step, ...]:
    return (
        Step("Nothing is configured yet", HELLO, (answers(503),)),
        Step(
            "Run a service on a random port",
            docker_run("app-1", 1),
            (started(1),),
            why="Both nodes are this machine's Docker engine; the label says whose of the two registrars it is.",
        ),
        Step(
            "The registrar of node 1 has put it into Consul's catalog",
            CATALOG.format("go-demo"),
            (entries(1), says('"ServiceName": "go-demo"'), says("node-1:")),
            within=CATALOG_WITHIN_S,
            act=acts.containers_answer,
        ),
        Step(
            "Tell the proxy about it",
            reconfigure("serviceName=go-demo&servicePath=/demo"),
            (accepted(ServiceName="go-demo", ServicePath=["/demo"], Servers=1),),
        ),
        Step("The service is accessible through the proxy", HELLO, (answers(200), says(HELLO_WORLD))),
    )


def _several_instances(acts: Acts) -> tuple[Step, ...]:
    return (
        Step(
            "Scale to three instances on the two nodes",
            docker_run("app-2", 1) + "\n" + docker_run("app-3", 2),
            (started(2),),
        ),
        Step(
            "Docker has given each a port of its own",
            "docker ps --filter name=$DEMO-app --format 'table {{.Names}}\\t{{.Ports}}'",
            (says("-app-1"), says("-app-2"), says("-app-3")),
        ),
        Step(
            "All three are in the catalog",
            BRIEFLY.format("go-demo"),
            (entries(3), says("node-1:"), says("node-2:")),
            within=CATALOG_WITHIN_S,
            act=acts.containers_answer,
        ),
        Step(
            "The proxy goes on with the first one alone",
            THIRTY,
            (traffic("app-1"),),
            why="Nobody has asked for the others yet: first the post-deployment tests, then the traffic.",
        ),
        Step(
            "Ask for them",
            reconfigure("serviceName=go-demo&servicePath=/demo"),
            (accepted(ServiceName="go-demo", Servers=3),),
        ),
        Step("Requests are spread over all three", THIRTY, (traffic("app-1", "app-2", "app-3"),)),
    )


def _several_paths() -> tuple[Step, ...]:
    return (
        Step(
            "Two base paths in place of one",
            reconfigure("serviceName=go-demo&servicePath=/demo/hello,/demo/person"),
            (accepted(ServicePath=["/demo/hello", "/demo/person"], Servers=3),),
        ),
        Step(
            "Both are served, others no more",
            "curl -i $PROXY/demo/hello\ncurl -i $PROXY/demo/person\ncurl -i $PROXY/demo/other",
            (answers(200, 200, 503), says(HELLO_WORLD)),
        ),
    )


def _domain() -> tuple[Step, ...]:
    return (
        Step(
            "Only requests for my-domain.com",
            reconfigure("serviceName=go-demo&servicePath=/demo&serviceDomain=my-domain.com"),
            (accepted(ServiceDomain="my-domain.com", Servers=3),),
        ),
        Step("With that host: 200", 'curl -i -H "Host: my-domain.com" $PROXY/demo/hello', (answers(200),)),
        Step("Without it: 503", HELLO, (answers(503),)),
    )


def _removal() -> tuple[Step, ...]:
    return (
        Step("Remove it", f'curl "{API}/remove?serviceName=go-demo"', (accepted(ServiceName="go-demo"),)),
        Step(
            "It is not available through the proxy any more",
            'curl -i -H "Host: my-domain.com" $PROXY/demo/hello',
            (answers(503),),
        ),
        Step("The catalog still knows what runs", BRIEFLY.format("go-demo"), (entries(3),)),
    )


def _templates() -> tuple[Step, ...]:
    return (
        Step(
            "The article's template, a file of the operator's",
            "cat $TEMPLATES/tmpl/go-demo.tmpl",
            (says("use_backend go-demo-be if url_go-demo"),),
            why="Word for word but for the two binds: in place of 80 and 443 stand this demo's ports. As the shared "
            "frontend binds them already, the rules are merged into that one, and the answer says so.",
        ),
        Step(
            "Reconfigure with it",
            reconfigure("serviceName=go-demo&consulTemplatePath=$TEMPLATES/tmpl/go-demo.tmpl"),
            (accepted(ServiceName="go-demo", Servers=3), says("its rules were merged")),
        ),
        Step("It is served by the template's backend", HELLO, (answers(200), says(HELLO_WORLD))),
        Step(
            "The later form: one file for the inside of the frontend, one for the backends",
            "cat $TEMPLATES/tmpl/go-demo-fe.tmpl $TEMPLATES/tmpl/go-demo-be.tmpl",
            (says("acl url_go-demo path_beg /demo"),),
        ),
        Step(
            "Reconfigure with the pair",
            reconfigure(
                "serviceName=go-demo&consulTemplateFePath=$TEMPLATES/tmpl/go-demo-fe.tmpl"
                "&consulTemplateBePath=$TEMPLATES/tmpl/go-demo-be.tmpl"
            ),
            (accepted(ServiceName="go-demo", Servers=3, Warnings=[]),),
        ),
        Step("The header shows whose backend it is", HELLO, (answers(200), says("x-template: go-demo-be.tmpl"))),
    )


def _blue_green(acts: Acts) -> tuple[Step, ...]:
    def in_catalog(color: str) -> Step:
        name = f"go-demo-{color}"
        return Step(
            f"It is in the catalog as {name}",
            BRIEFLY.format(name),
            (entries(1),),
            within=CATALOG_WITHIN_S,
            act=acts.containers_answer,
        )

    def switch(color: str) -> Step:
        query = f"serviceName=go-demo&serviceColor={color}&servicePath=/demo"
        return Step(f"Switch to {color}", reconfigure(query), (accepted(ServiceColor=color, Servers=1),))

    return (
        Step("The blue release", docker_run("blue", 1, "-e SERVICE_NAME=go-demo-blue "), (started(1),)),
        in_catalog("blue"),
        switch("blue"),
        Step("All traffic is blue", THIRTY, (traffic("blue"),)),
        Step(
            "The green release runs beside it", docker_run("green", 2, "-e SERVICE_NAME=go-demo-green "), (started(1),)
        ),
        in_catalog("green"),
        Step("Its tests can run; the traffic is still blue", THIRTY, (traffic("blue"),)),
        switch("green"),
        Step("All traffic is green", THIRTY, (traffic("green"),)),
    )


def _failover(acts: Acts) -> tuple[Step, ...]:
    return (
        Step(
            "Once more the service of before",
            reconfigure("serviceName=go-demo&servicePath=/demo/hello"),
            (accepted(ServicePath=["/demo/hello"], Servers=3),),
        ),
        Step("It is served", HELLO, (answers(200), says(HELLO_WORLD))),
        Step(
            "A fourth instance that nobody has asked for",
            docker_run("app-4", 2),
            (started(1),),
            why="A new proxy will read what runs from Consul: it has to serve what was released, not whatever runs.",
        ),
        Step(
            "It is in the catalog",
            BRIEFLY.format("go-demo"),
            (entries(4),),
            within=CATALOG_WITHIN_S,
            act=acts.containers_answer,
        ),
        Step("The three serve", THIRTY, (traffic("app-1", "app-2", "app-3"),)),
        Step(
            "The proxy's node is lost: kill -9 of proxy-api and its HAProxy, and their disk is gone",
            "kill -9 $PIDS; rm -r $CONFIGS_PATH",
        ),
        Step("Nobody listens there", HELLO, (says("Failed to connect"),), code=7, act=acts.lose_proxy),
        Step(
            "A new proxy on another node: other address and ports, empty disk, same Consul and instance name",
            "curl $API/ready",
            (accepted(),),
            act=acts.start_elsewhere,
        ),
        Step(
            "The same answer, and no reconfigure was sent",
            HELLO,
            (answers(200), says(HELLO_WORLD)),
        ),
        Step("The same three serve, the fourth does not", THIRTY, (traffic("app-1", "app-2", "app-3"),)),
        Step("Other paths are as closed as they were", "curl -i $PROXY/demo/person", (answers(503),)),
    )
