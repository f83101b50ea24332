"""Registrator's tag templates as a specification: its functions, the fields of a container, and what is refused.

When the expected tags were written, all but those of httpGet and jsonParse were compared with what Go's text/template
(1.27) makes of the same template with Registrator's own functions, as were some ten thousand random ones.
"""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local import ROOT
from registrar.core.services import services_of
from registrar.core.tag_functions import OWN, USAGES
from registrar.core.tag_templates import Page, nothing_yet, read_tags, tags_of
from tests.registrar.documents import NODE, WILD, container, document, settings

DOCUMENT = document(
    id="e20f9c1a76565d62ae24a3bb877b17b862b6eab94f4e95a0e07ccf25087aaf4f", name="shop_web-1.blue",
    image="registry:5000/team/web:1.2", created="2026-11-21T11:00:00.120Z",
    env={"ENVIRONMENT": "test", "SERVICE_8105_NAME": "foo", "HOME": "/home/x", "SERVICE_9404_NAME": "bar"},
    labels={"com.example.foo": "x", "task": "arn:aws:ecs:eu:1:task/368f", "list": "p,q"},
    ports={"8080/tcp": [(WILD, 32768)], "53/udp": None}, mode="default",
)
PAGES = {"http://meta/all": '{"Additional":{"Country":"Austria","n":1.50,"list":["a",{"b":true}],"no":null}}',
         "http://meta/text": "eu-1a"}


def look_up(url):
    return Page(PAGES[url]) if url in PAGES else Page(None, f"{url} answers 404")


def made(template, look_up=look_up):
    return tags_of(read_tags(template), DOCUMENT, look_up)


# title: (template, tags)
TAGS = {
    "plain tags": (r"prod, a\,b,,prod", ("prod", "a,b")),
    "plain tags beside a template": (r"prod,a\,b,host={{.Config.Hostname}}", ("prod", "a,b", "host=")),
    "empty tags fall out": ("{{.Config.Hostname}},a,{{if false}}x{{end}}", ("a",)),
    "a tag may come out as several": ('{{join "," .Config.Env}}', tuple(DOCUMENT["Config"]["Env"])),
    "commas in a loop": ('{{range $k, $v := .Config.Labels}}{{$k}},{{end}}', ("com.example.foo", "list", "task")),
    "a variable for later tags": ('{{$n := toUpper "a"}}1{{$n}},2{{$n}}', ("1A", "2A")),
    "an escaped comma in the template": (r"a\,{{.Path}}b", ("a,b",)),
    # the document, by the names that Registrator's users know
    "the id": ("container_id={{ .ID }}", (f"container_id={DOCUMENT['Id']}",)),
    "the name has its slash": ("{{.Name}}", ("/shop_web-1.blue",)),
    "the image": ("{{.Config.Image}}", ("registry:5000/team/web:1.2",)),
    "a label": ('{{index .Config.Labels "com.example.foo"}}', ("x",)),
    "a label that is not there": ('{{index .Config.Labels "no"}}', ()),
    "a label by its name": (
        "{{.Config.Labels.task}},{{.Config.Labels.no}}", ("arn:aws:ecs:eu:1:task/368f", "<no value>")),
    "if there is a label": ('{{if index .Config.Labels "com.example.foo"}}foo{{else}}bar{{end}}', ("foo",)),
    "the health of what has none": ("health={{.State.Health.Status}}", ("health=",)),
    "whether it runs": ("{{.State.Running}} {{.State.Pid}}", ("true 4711",)),
    "the network mode": ("{{.HostConfig.NetworkMode}}", ("default",)),
    "a network": ("{{.NetworkSettings.Networks.bridge.IPAddress}}", ("172.17.0.2",)),
    "a network that is not there": ('x{{(index .NetworkSettings.Networks "no").IPAddress}}', ("x",)),
    "ports": ("{{range $p, $b := .NetworkSettings.Ports}}{{$p.Port}}/{{$p.Proto}}"
              "{{range $b}}:{{.HostIP}}:{{.HostPort}}{{end}},{{end}}", ("53/udp", f"8080/tcp:{WILD}:32768")),
    "a port by its name": ('{{(index (index .NetworkSettings.Ports "8080/tcp") 0).HostPort}}', ("32768",)),
    "a time as Go prints it": ("{{.Created}}", ("2026-11-21 11:00:00.12 +0000 UTC",)),
    "what the engine leaves out is zero": (
        "{{.RestartCount}}{{.Driver}}{{.HostConfig.CPUShares}}{{.Config.Tty}}", ("00false",)),
    "the node of a classic swarm": ("{{with .Node}}{{.Name}}{{else}}none{{end}},{{.Node}}", ("none", "<nil>")),
    # Registrator's functions, most with the example of its own documentation
    "strSlice": ("{{strSlice .ID 0 12}}", ("e20f9c1a7656",)),
    "strSlice from": ('{{strSlice "abcdef" 4}}', ("ef",)),
    "strSlice beyond the text is all of it": ('{{strSlice "abc" 0 9}},{{strSlice "abc" 9}}', ("abc",)),
    "strSlice whose end is before its start goes on": ('{{strSlice "abcdef" 2 1}}', ("cdef",)),
    "strSlice counts bytes": ('{{strSlice "éa" 2}}', ("a",)),
    "sIndex": ("{{sIndex 0 .Config.Env}}", ("ENVIRONMENT=test",)),
    "sIndex from the end": (
        "{{sIndex -1 .Config.Env}},{{.Config.Env | sIndex -2}}", ("SERVICE_9404_NAME=bar", "HOME=/home/x")),
    "sIndex beyond is the last": ("{{sIndex 99 .Config.Env}}", ("SERVICE_9404_NAME=bar",)),
    "sIndex before is the first": ("{{sIndex -99 .Config.Env}}", ("ENVIRONMENT=test",)),
    "mIndex": ('{{mIndex "com.example.foo" .Config.Labels}}{{mIndex "no" .Config.Labels}}', ("x",)),
    "toUpper, toLower": ('{{toUpper "foo"}},{{"FoÖ" | toLower}}', ("FOO", "foö")),
    "replace": (
        '{{replace -1 "=" "" "=foo="}},{{replace 1 "o" "0" "foo"}},{{replace 0 "o" "" "fo"}}', ("foo", "f0o", "fo")),
    "join": ('{{join "-" (split "," "a,b")}}', ("a-b",)),
    "split": ('{{range split "," "/proc/bus,/proc/fs"}}<{{.}}>{{end}}', ("</proc/bus></proc/fs>",)),
    "sIndex of split": ('{{ sIndex 1 (split "-" .Name) }}', ("1.blue",)),
    "splitIndex": (
        '{{splitIndex -1 "/" .Config.Labels.task}},{{splitIndex 1 ":" .Config.Image}}', ("368f", "5000/team/web")),
    "matchFirstElement": ('{{matchFirstElement "^SERVICE_" .Config.Env}}', ("SERVICE_8105_NAME=foo",)),
    "matchFirstElement of nothing": ('{{matchFirstElement "^X" .Config.Env}}', ()),
    "matchAllElements": ('{{join "," (matchAllElements "^SERVICE_" .Config.Env)}}',
                         ("SERVICE_8105_NAME=foo", "SERVICE_9404_NAME=bar")),
    "a chain": ('{{ .Config.Env | matchFirstElement "^ENV" | splitIndex 1 "=" | toUpper }}', ("TEST",)),
    "text/template's own": ('{{printf "%.12s" .ID}},{{len .Config.Env}},{{slice .ID 0 3}},{{eq .Path ""}}',
                            ("e20f9c1a7656", "4", "e20", "true")),
    # pages
    "httpGet": ('{{httpGet "http://meta/text"}}', ("eu-1a",)),
    "jsonParse": ('{{jsonParse (httpGet "http://meta/all") "Additional::Country"}}', ("Austria",)),
    "jsonParse of a list": (
        '{{$a := httpGet "http://meta/all"}}{{jsonParse $a "Additional::list::[1]::b"}}', ("true",)),
    "jsonParse of an object": ('{{jsonParse (httpGet "http://meta/all") "Additional::list::[1]"}}', ('{"b":true}',)),
    "jsonParse of null": ('{{jsonParse (httpGet "http://meta/all") "Additional::no"}}', ("null",)),
}


@pytest.mark.parametrize(("template", "expected"), TAGS.values(), ids=TAGS)
def test_tags(template, expected):
    found = made(template)
    assert (found.tags, found.rules, found.unsettled) == (expected, (), False)


# title: (template, what the fault says)
REFUSED = {
    "a function of another program": ("{{env `HOME`}}", "function 'env' is not supported; there are and, eq, ge"),
    "a function that is misspelt": ('{{spIit "," "a"}}', "(did you mean split?)"),
    "in a branch that is never taken": ("{{if false}}{{json .}}{{end}}", "function 'json' is not supported"),
    "define": ('{{define "a"}}{{end}}', "define is not supported, only if, else, end, range, with"),
    "break": ("{{range .Config.Env}}{{break}}{{end}}", "break is not supported"),
    "syntax": ("{{.Name", "the action is not closed with }}"),
    "a block that is not closed": ("{{if .Name}}a", "if is not closed with end"),
    "too few arguments": ("{{strSlice}}", "strSlice wants at least 1 argument, got 0"),
    "too many arguments": ('{{toUpper "a" "b"}}', "toUpper wants 1 argument, got 2"),
    "piped arguments count": ('{{"a" | split "," "b"}}', "split wants 2 arguments, got 3"),
    "a pattern": ('{{matchAllElements "a(?!b)" .Config.Env}}',
                  "matchAllElements: the pattern 'a(?!b)' is none of Go's: invalid"),
    "a verb": ('{{printf "%x" 1}}', "printf: the verb '%x' is not supported"),
    "no web address": ('{{httpGet "file:///etc/passwd"}}', "httpGet: 'file:///etc/passwd' is not an http:// or https://"),
    "the JSON's name of a field": ("{{.Id}}", "Container has no field Id; did you mean ID?"),
    "a field further on": (
        "{{.NetworkSettings.IPAdress}}", "NetworkSettings has no field IPAdress; did you mean IPAddress?"),
    "a field in a loop": ("{{range .Mounts}}{{.Src}}{{end}}", "Mount has no field Src"),
    "a field in with": ("{{with .State}}{{.Running}}{{$.Runing}}{{end}}", "Container has no field Runing"),
    "a field of text": ("{{.Name.First}}", "string has no field First"),
    "a method": ('{{.Created.Format "2006"}}', "'Format' is no function and takes no arguments"),
}


@pytest.mark.parametrize(("template", "fault"), REFUSED.values(), ids=REFUSED)
def test_refused_before_any_container_is_seen(template, fault):
    with pytest.raises(ValueError) as caught:
        read_tags(template)
    assert fault in str(caught.value)


# title: (template, the tags that are there all the same, what is said)
FAULTS = {
    "an index": ("a,{{index .Config.Env 99}},b", ("a", "b"), "index: index out of range: 99: the tag is left out"),
    "an empty list": ("a,{{sIndex 0 .Args}}", ("a",), "sIndex: the list is empty"),
    "before the text": ('{{strSlice "abc" -1}},b', ("b",), "strSlice: index out of range: -1"),
    "a node that is not there": ("{{.Node.Name}},b", ("b",), "there is no SwarmNode here, so no Name of it"),
    "a kind that does not fit": ("{{toUpper .State.Pid}},b", ("b",), "toUpper: wants a string, got int"),
    "a map of other things": ('{{mIndex "a" .NetworkSettings.Ports}},b', ("b",), "mIndex: wants a map of strings"),
    "within a loop": ("{{range .Config.Env}}{{index $.Args 0}}{{end}},{{.Path}}b", ("b",), "index out of range: 0"),
    "a variable whose tag failed": ("{{$x := index .Args 0}},{{$x}},b", ("b",), "the variable $x has no value"),
    "a block whose variable hides another": (
        '{{$x := "a"}}{{if true}}{{$x := "b"}}{{index .Args 0}}{{end}},{{$x}}', ("a",), "index out of range: 0"),
    "a struct as a whole": ("{{.State}},b", ("b",), "a State as a whole cannot be printed; name one of its fields"),
    "no JSON": ('a{{jsonParse "x" "y"}},b', ("a", "b"), "jsonParse: there is no JSON: taken for empty"),
    "no such key": ('a{{jsonParse (httpGet "http://meta/all") "No::Way"}}', ("a",), "jsonParse: there is no No::Way"),
    "a computed pattern": ('{{matchFirstElement (print "(") .Config.Env}},b', ("b",), "missing ): ("),
    "a computed address": ('{{httpGet (print "ftp://x")}},b', ("b",), "'ftp://x' is not an http:// or https://"),
    "too much work": ("{{range split `` .ID}}{{range split `` $.ID}}{{range split `` $.ID}}{{range split `` $.ID}}"
                      "{{end}}{{end}}{{end}}{{end}},b", (), "takes more than 100000 steps"),
}


@pytest.mark.parametrize(("template", "tags", "rule"), FAULTS.values(), ids=FAULTS)
def test_a_fault_costs_its_own_tag_and_no_other(template, tags, rule):
    found = made(template)
    assert found.tags == tags and any(rule in said for said in found.rules)


def test_the_templates_of_the_manual_are_understood_and_fit_an_ordinary_container():
    manual = (ROOT / "docs" / "registrar.md").read_text()
    found = re.findall(r"^registrar -tags '(.*?)'", manual, re.MULTILINE)
    assert len(found) == 4
    assert [made(template, lambda _: Page('{"zone":"eu"}')).rules for template in found] == [()] * 4


def test_every_function_is_in_the_manual():
    assert [usage.split()[0] for usage, _ in USAGES] == list(OWN)


def test_tags_that_do_not_print_are_left_out_and_said():
    found = tags_of(read_tags("{{.Config.Labels.a}},b"), document(labels={"a": "x\ny"}), nothing_yet)
    assert found.tags == ("b",) and "printable" in found.rules[0]


def test_a_page_that_is_still_being_fetched_leaves_its_tag_out_and_says_nothing():
    found = made('a,{{httpGet "http://meta/text" | toUpper}},b', nothing_yet)
    assert (found.tags, found.rules, found.unsettled) == (("a", "b"), (), True)


def test_a_page_that_cannot_be_had_is_said():
    found = made('a,{{httpGet "http://meta/none"}},b')
    assert found.tags == ("a", "b") and found.unsettled
    assert found.rules == ("httpGet: http://meta/none answers 404: the tag is left out",)


def test_a_page_that_was_had_before_counts_on():
    found = made('{{httpGet "http://x/"}}', lambda url: Page("eu", "http://x/ answers 500"))
    assert (found.tags, found.unsettled) == (("eu",), False)
    assert found.rules == ("httpGet: http://x/ answers 500: what it gave before is used",)


def offer(template, **changes):
    one = container(ports={"8080/tcp": [(WILD, 32768)]}, **changes)
    return services_of(one, None, NODE, settings("-tags", template))


def test_they_come_after_the_containers_own_and_a_fault_names_container_option_and_rule():
    found = offer("{{index .Config.Labels `x`}},own,{{index .Args 0}}", env={"SERVICE_TAGS": "own"}, labels={"x": "y"})
    assert found.registrations[0].tags == ("own", "y")
    [fault] = found.faults
    assert (fault.container, fault.key) == ("web_1", "-tags") and "{{index .Args 0}}" in fault.value
    assert "index out of range: 0" in fault.rule


def test_a_fault_shows_no_password():
    [fault] = offer('{{$p := httpGet "http://me:secret@meta/"}}{{index .Args 0}}').faults or [None]
    assert fault is None  # nothing is said while the page is being fetched
    [fault] = offer('{{index .Args 0}}{{httpGet "http://me:secret@meta/"}}').faults
    assert "secret" not in fault.value and "://…@meta/" in fault.value


def test_a_container_without_a_service_is_not_asked_for_tags():
    assert services_of(container(), None, NODE, settings("-tags", "{{index .Args 0}}")).faults == ()


@given(st.text(max_size=40))
def test_any_text_is_a_template_or_refused(text):
    with suppress(ValueError):
        found = tags_of(read_tags("{{`a`}}" + text), DOCUMENT, nothing_yet)
        assert all(tag and tag == tag.strip() and tag.isprintable() for tag in found.tags)


PARTS = st.sampled_from([
    "{{.Name}}", "{{index .Args 0}}", "a", ",", r"\,", "{{httpGet `http://x/`}}", "{{.Config.Env}}", "{{.Node.IP}}",
    "{{join `,` .Config.Env}}", "{{range .Config.Env}}{{.}},{{end}}", "{{$x := .Name}}"])


@given(st.lists(PARTS, max_size=8).map("".join), st.text(max_size=20), st.text(max_size=20))
def test_no_container_can_break_the_rest(template, name, value):
    strange = document(name=name, env={"A": value}, labels={value: name})
    found = tags_of(read_tags(template + ",{{`last`}}"), strange, nothing_yet)
    assert "last" in found.tags or "\\" in value + name
    assert len(set(found.tags)) == len(found.tags)
