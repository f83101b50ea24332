"""consul-template's language as a specification: what each template becomes, and what each fault says.

When the expected texts were written, all but the catalog's answers and toTitle were compared with what Go's own
text/template (1.27) makes of the same template, as were some thousands of random ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_api.core.consul_template import Data, ServiceEntry, TemplateFault, render
from proxy_api.core.consul_template.catalog import Catalog
from proxy_api.core.consul_template.functions import CATALOG_NAMES


@dataclass
class FakeData:
    """A small catalog that answers by status as the real one does, and remembers what it was asked."""

    entries: Sequence[ServiceEntry] = ()
    keys: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def service(self, name: str, filters: str | None) -> Sequence[ServiceEntry]:
        self.asked.append((name, filters))
        wanted = (filters or "passing").split(",")
        return [entry for entry in self.entries if entry.Name == name and (filters == "any" or entry.Status in wanted)]

    def services(self) -> Sequence[tuple[str, tuple[str, ...]]]:
        names = sorted({entry.Name for entry in self.entries})
        return [(name, tuple({tag for e in self.entries if e.Name == name for tag in e.Tags})) for name in names]

    def key(self, name: str) -> str | None:
        return self.keys.get(name)


ENTRIES = (
    # Deliberately not in order: the language promises instances by node and ID, and tags by name.
    ServiceEntry("n2", "10.0.0.2", 8081, "web-2", "web", ("http", "Green"), "192.168.0.2", "warning"),
    ServiceEntry("n1", "10.0.0.1", 8080, "web-1", "web", ("http", "blue", "v1.2"), "192.168.0.1"),
    ServiceEntry("n3", "10.0.0.3", 8082, "web-3", "web", (), "192.168.0.3", "critical"),
    ServiceEntry("n1", "10.0.0.1", 5432, "db-1", "db", (), "192.168.0.1"),
)
KEYS = {"motd": "two\nlines", "empty": "", "port": "8080", "flag": "true", "nul": "a\0b"}


def data() -> FakeData:
    return FakeData(ENTRIES, KEYS)


GO_DEMO = """backend go-demo-be
    {{ range $i, $e := service "go-demo" "any" }}
    server {{$e.Node}}_{{$i}}_{{$e.Port}} {{$e.Address}}:{{$e.Port}} check
    {{end}}
"""


def test_the_example_of_the_book_works_unchanged() -> None:
    entries = (
        ServiceEntry("swarm-1", "10.0.0.1", 32768, "a", "go-demo", ()),
        ServiceEntry("swarm-2", "10.0.0.2", 32769, "b", "go-demo", (), Status="critical"),
    )
    blank = "    "
    assert render(GO_DEMO, FakeData(entries)) == (
        "backend go-demo-be\n"
        f"{blank}\n"
        "    server swarm-1_0_32768 10.0.0.1:32768 check\n"
        f"{blank}\n"
        "    server swarm-2_1_32769 10.0.0.2:32769 check\n"
        f"{blank}\n"
    )


RENDERS = [
    # text, delimiters, comments
    ("text stands for itself", "a }} b { { c", "a }} b { { c"),
    ("no text is no text", "", ""),
    ("a comment vanishes", "a{{/* {{ }} \n */}}b", "ab"),
    ("a comment trims", "a \n{{- /* c */ -}}\n b", "ab"),
    ("a left marker trims blanks, tabs and line ends", "a \t\r\n{{- 1}} b", "a1 b"),
    ("a right marker trims up to the next text", "a {{1 -}} \n b", "a 1b"),
    ("both markers trim to the next action", "{{1 -}}  {{- 2}}", "12"),
    ("a minus without a blank is a sign", "a {{-3}} b", "a -3 b"),
    ("a marker may be followed by a line end", "a {{-\n3\n-}} b", "a3b"),
    ("an action may run over lines", '{{print\n  "a"\n\t"b"}}', "ab"),
    ("delimiters may stand in strings", '{{"{{ }}"}}', "{{ }}"),
    # literals and printing
    ("escapes are Go's", r'{{"\t\"\\A\u00e9\x41\101"}}', '\t"\\AéAA'),
    ("a raw string keeps backslashes and loses carriage returns", "{{`a\\n\r\nb`}}", "a\\n\nb"),
    ("bools print as words", "{{true}} {{false}}", "true false"),
    ("floats print as %v prints them", "{{1.50}} {{1e5}} {{1e6}} {{0.00001}} {{-0.0}}", "1.5 100000 1e+06 1e-05 -0"),
    ("nil, where it is printed alone, is no value", "{{.}} {{$}} {{.Foo.Bar}}", "<no value> <no value> <no value>"),
    ("nil within fmt is <nil>", '{{print nil}} {{printf "%v" .}}', "<nil> <nil>"),
    ("a list prints in brackets", '{{split "," "a,b"}}{{split "," ""}}', "[a b][]"),
    # pipelines, parentheses, fields
    ("a pipe gives the last argument", '{{"b" | print "a" | printf "%s-%s" "x"}}', "x-ab"),
    ("parentheses group", '{{len (print "a" (print "b"))}}', "2"),
    ("a field of a parenthesised value", '{{(index (service "web" "any") 1).Port}}', "8081"),
    ("a field of a function's value needs parentheses only for arguments", "{{len services}}", "2"),
    ("a chain through a map", "{{len (byTag services).blue}}", "1"),
    ("a missing key of a map is no value", "{{(byTag services).nope}}", "<no value>"),
    # variables
    ("a variable is kept and prints nothing itself", '{{$x := "a"}}{{$x}}', "a"),
    ("= reaches the outer variable", "{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
    (":= in a block makes a new one", "{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "21"),
    ("a shadowing variable may use the shadowed", '{{$x := "a"}}{{if true}}{{$x := print $x "b"}}{{$x}}{{end}}', "ab"),
    ("blanks around := are free", '{{ $x:="a" }}{{$x}}', "a"),
    ("$ is the root inside of with too", '{{with "a"}}{{.}}{{$}}{{end}}', "a<no value>"),
    # if
    ("if and else", '{{if ""}}a{{else}}b{{end}}', "b"),
    ("else if is tried in order", "{{if 0}}a{{else if 1}}b{{else if 1}}c{{else}}d{{end}}", "b"),
    ("an arm's variable is visible in later arms", "{{if $x := 0}}{{else if $y := 3}}{{$x}}{{$y}}{{end}}", "03"),
    ("Go's truth", '{{if 0.0}}a{{end}}{{if "x"}}b{{end}}{{if services}}c{{end}}{{if .}}d{{end}}', "bc"),
    ("a service is always true", '{{if index (service "db") 0}}a{{end}}', "a"),
    # with
    ("with sets the dot", '{{with "a"}}[{{.}}]{{else}}none{{end}}', "[a]"),
    ("with nothing takes its else, with the dot outside", '{{with "a"}}{{with ""}}x{{else}}{{.}}{{end}}{{end}}', "a"),
    ("with may name its value", "{{with $x := 3}}{{$x}}{{.}}{{end}}", "33"),
    # range
    ("range sets the dot", '{{range split "," "a,b"}}<{{.}}>{{end}}', "<a><b>"),
    ("one variable is the element", '{{range $e := split "," "a,b"}}{{$e}}{{end}}', "ab"),
    ("of two, the first is the index", '{{range $i, $e := split "," "a,b"}}{{$i}}{{$e}}{{end}}', "0a1b"),
    ("range may set outer variables", '{{$x := 0}}{{range $x = split "," "a,b"}}{{end}}{{$x}}', "b"),
    ("an empty list takes the else", '{{range service "nope"}}x{{else}}none{{end}}', "none"),
    ("nil takes the else", "{{range .}}x{{else}}none{{end}}", "none"),
    (
        "a map goes by its keys in order",
        '{{range $tag, $all := byTag (service "web" "any")}}{{$tag}}:{{range $all}}{{.Node}}{{end}} {{end}}',
        "Green:n2 blue:n1 http:n1n2 v1.2:n1 ",
    ),
    (
        "a body's variables start anew each turn",
        '{{$n := 0}}{{range split "," "a,b"}}{{$m := add $n 1}}{{$n = $m}}{{end}}{{$n}}',
        "2",
    ),
    # logic and comparison
    ("and and or give a value, not a bool", '{{and 1 ""}}|{{or 0 "a"}}|{{and 1 2}}|{{or "" 0}}', "|a|2|0"),
    ("and stops early", '{{and false (index "" 5)}}', "false"),
    ("or takes a piped value last", '{{"a" | or ""}}', "a"),
    ("not is the opposite of truth", '{{not ""}}{{not 1}}', "truefalse"),
    ("eq matches any of several", '{{eq "b" "a" "b"}}{{eq 1 2 3}}', "truefalse"),
    ("nil equals only nil", "{{eq nil .}}{{ne 1 nil}}", "truetrue"),
    ("order", '{{lt 1 2}}{{le 2 2}}{{gt "b" "a"}}{{ge 1.5 2.5}}', "truetruetruefalse"),
    # collections
    ("len counts bytes in text", '{{len "é"}} {{len (service "web" "any")}}', "2 3"),
    (
        "index of lists, text and maps",
        '{{index (split "," "a,b") 1}}{{index "a" 0}}{{index (byTag services) "no"}}',
        "b97[]",
    ),
    ("in and contains", '{{in (split "," "a,b") "b"}}{{"ab" | contains "c"}}{{in 5 5}}', "truefalsefalse"),
    ("tags can be asked", '{{range service "web"}}{{.Tags | contains "blue"}}{{end}}', "true"),
    # text
    ("print puts a blank between two non-strings", '{{print 1 2 "a" 3 true}}', "1 2a3 true"),
    ("println puts a blank everywhere", '{{println "a" 1}}', "a 1\n"),
    ("printf pads", '{{printf "%5d|%-5d|%05d|%5s|%-5s|" 42 42 -42 "é" "b"}}', "   42|42   |-0042|    é|b    |"),
    (
        "printf quotes",
        '{{printf "%q %q %%" "a\\"\\n\\u0007\\u00ad" (split "," "x,y")}}',
        r'"a\"\n\a\u00ad" ["x" "y"] %',
    ),
    ("printf cuts", '{{printf "%.2s|%5.1s|%.9v|%t" "abc" "é!" "ab" true}}', "ab|    é|ab|true"),
    ("slice takes a part", '{{slice "abc" 1}} {{slice "abc" 0 2}} {{slice (split "," "a,b,c") 1 2}}', "bc ab [b]"),
    ("slice counts bytes", '{{slice "éa" 2}}{{slice "éa" 1}}', "a\ufffda"),
    ("html, js and urlquery escape", """{{html "<a b='c'>"}} {{js "a'<\\n"}} {{urlquery "a b&" "c/"}}""",
     "&lt;a b=&#39;c&#39;&gt; a\\'\\u003C\\u000A a+b%26c%2F"),
    ("printf goes into lists", '{{printf "%v %3s" (split "," "a,b") (split "," "c,d")}}', "[a b] [  c   d]"),
    ("join", '{{join ", " (split "," "a,b")}}', "a, b"),
    ("split trims first, and by nothing splits characters", '{{split "," " a,b "}}{{split "" "ab"}}', "[a b][a b]"),
    ("case", '{{toLower "ÀB"}}{{toUpper "àß"}}', "àbÀß"),
    ("title", """{{toTitle "it's foo-bar baz_qux"}}""", "It's Foo-Bar Baz_qux"),
    ("trimSpace", '{{trimSpace " \\t a \\n"}}|', "a|"),
    ("replaceAll", '{{"a.b.c" | replaceAll "." "_"}} {{replaceAll "" "-" "ab"}}', "a_b_c -a-b-"),
    # numbers
    ("parsing", '{{parseInt "-42"}} {{parseInt ""}} {{parseBool "t"}} {{parseBool ""}}', "-42 0 true false"),
    ("the piped number comes first", "{{5 | subtract 2}} {{7 | divide 2}} {{7 | modulo 4}}", "3 3 3"),
    ("division is Go's", "{{divide 2 -7}} {{modulo 2 -7}} {{divide 2.0 7}}", "-3 -1 3.5"),
    ("sums", "{{add 1 2}} {{add 1 0.5}} {{multiply 3 4}}", "3 1.5 12"),
    # the catalog
    ("only passing instances unless asked", '{{range service "web"}}{{.Node}} {{end}}', "n1 "),
    ("any status", '{{range service "web" "any"}}{{.Node}} {{end}}', "n1 n2 n3 "),
    (
        "some statuses",
        '{{range service "web" "critical, warning"}}{{.Node}}={{.Status}} {{end}}',
        "n2=warning n3=critical ",
    ),
    ("a tag before the name, in any case", '{{range service "GREEN.web" "any"}}{{.ID}}{{end}}', "web-2"),
    ("a tag may hold dots", '{{range service "v1.2.web" "any"}}{{.ID}}{{end}}', "web-1"),
    ("no name is no instance", '{{service ""}}', "[]"),
    ("tags are in order", '{{range service "web"}}{{.Tags}}{{.NodeAddress}}{{end}}', "[blue http v1.2]192.168.0.1"),
    ("services", "{{range services}}{{.Name}}{{.Tags}} {{end}}", "db[] web[Green blue http v1.2] "),
    ("a key may hold lines", '{{key "motd"}}', "two\nlines"),
    ("an empty key name is empty text", '{{key ""}}|{{keyExists ""}}', "|false"),
    ("a default for keys that are missing or empty", '{{keyOrDefault "no" "d"}}{{keyOrDefault "empty" "d"}}', "dd"),
    ("a default is not used for others", '{{keyOrDefault "port" "d"}}', "8080"),
    ("keyExists", '{{keyExists "empty"}}{{keyExists "no"}}', "truefalse"),
]


@pytest.mark.parametrize(("template", "expected"), [case[1:] for case in RENDERS], ids=[case[0] for case in RENDERS])
def test_renders(template: str, expected: str) -> None:
    assert render(template, data()) == expected


REFUSALS = [
    # the host, and other functions that are not there
    (
        "env reads the host",
        '{{env "HOME"}}',
        "line 1: function 'env' is refused: a template sees the catalog, not the host",
    ),
    ("file reads the host", '\n{{file "/etc/passwd"}}', "line 2: function 'file' is refused"),
    ("plugin runs programs", '{{"x" | plugin "sh"}}', "line 1: function 'plugin' is refused"),
    ("even in a branch not taken", '{{if false}}{{env "A"}}{{end}}', "line 1: function 'env' is refused"),
    ("even after what would fail", '{{key "no"}}\n{{range ls "a"}}{{end}}', "line 2: function 'ls' is not supported"),
    ("scratch", "{{scratch.Get 1}}", "line 1: function 'scratch' is not supported"),
    ("define", '{{define "a"}}{{end}}', "line 1: define is not supported"),
    ("template", '{{template "a"}}', "line 1: template is not supported"),
    ("block", '{{block "a" .}}{{end}}', "line 1: block is not supported"),
    ("break", '{{range service "web"}}{{break}}{{end}}', "line 1: break is not supported"),
    # form
    ("an open action", "a\n{{ print 1", "line 2: the action is not closed with }}"),
    ("an open comment", "{{/* a }}", "line 1: the comment is not closed"),
    ("a comment with company", "{{/* a */ 1}}", "line 1: a comment must fill its action"),
    ("an open string", '{{"a\n"}}', "line 1: the string is not closed"),
    ("an open block", "\n{{if true}}\n\n", "line 2: if is not closed with end"),
    ("end alone", "{{end}}", "line 1: end closes nothing"),
    ("else alone", "{{else}}", "line 1: else belongs to nothing"),
    ("two elses", "{{if 1}}{{else}}{{else}}{{end}}", "line 1: the if has its else already"),
    ("else if of range", "{{range .}}{{else if 1}}{{end}}", "line 1: unexpected 'if' after else"),
    ("an empty action", "{{ }}", "line 1: a value is missing in the action"),
    ("an open parenthesis", "{{(print 1}}", "line 1: unexpected '}}' in a pipeline"),
    ("a parenthesis too many", "{{print 1)}}", "line 1: unexpected ')' in a pipeline"),
    ("operands without a blank", '{{print "a""b"}}', """line 1: unexpected '"b"' right after an operand"""),
    ("arithmetic signs", "{{$x := 1}}{{$x+2}}", "line 1: bad character '+' after '$x'"),
    ("nil alone", "{{nil}}", "line 1: nil is not a command"),
    ("a literal after a pipe", "{{1 | 2}}", "line 1: '2' is no function and takes no arguments"),
    ("arguments for a field", '{{.Node "a"}}', "line 1: 'Node' is no function and takes no arguments"),
    ("a field of a literal", "{{true.A}}", "line 1: unexpected .A after a value that has no fields"),
    ("a character", "{{'a'}}", "line 1: character constants are not supported"),
    ("a hexadecimal number", "{{0x1F}}", "line 1: bad number '0x1F'"),
    ("a number beyond int64", "{{9223372036854775808}}", "line 1: the result is too large for an int64"),
    ("a very long number", "{{" + "9" * 9000 + "}}", "is too large"),
    ("an unknown escape", r'{{"\z"}}', r"line 1: unknown escape '\\z' in a string"),
    ("half a surrogate pair", r'{{"\ud800"}}', "is no character"),
    # variables and types
    ("an unknown variable", "\n\n{{$x}}", "line 3: undefined variable '$x'"),
    ("a variable outside of its block", "{{if 1}}{{$x := 1}}{{end}}{{$x}}", "line 1: undefined variable '$x'"),
    ("setting what is not there", "{{$x = 1}}", "line 1: undefined variable '$x'"),
    ("two variables outside of range", "{{$x, $y := 1}}", "unexpected ',' between variables: only range sets two"),
    ("an unknown field", '{{range service "web"}}\n{{.Nodes}}{{end}}', "line 2: service has no field Nodes"),
    ("no way into Python", '{{range service "web"}}{{.__class__}}{{end}}', "line 1: service has no field __class__"),
    ("a method of text", '{{("a").upper}}', "line 1: string has no field upper"),
    ("kinds that do not compare", '{{eq 1 "1"}}', "line 1: eq: int cannot be compared with string"),
    ("int and float do not compare", "{{lt 1 1.5}}", "line 1: lt: int cannot be compared with float64"),
    ("lists do not compare", "{{eq services services}}", "line 1: eq: list cannot be compared"),
    ("bools have no order", "{{lt true false}}", "line 1: lt: bool has no order"),
    ("eq of one", "{{eq 1}}", "line 1: eq: has nothing to compare with"),
    ("len of a number", "{{len 1}}", "line 1: len: int has no length"),
    ("beyond the list", '{{index (split "," "a") 1}}', "line 1: index: index out of range: 1"),
    ("range over a number", "{{range 3}}{{end}}", "line 1: range cannot go over int, only over a list or a map"),
    ("too few arguments", "{{toLower}}", "line 1: toLower wants 1 argument, got 0"),
    ("too many arguments", "{{len 1 2}}", "line 1: len wants 1 argument, got 2"),
    ("a number for text", "{{toLower 1}}", "line 1: toLower: wants a string, got int"),
    ("a list of services for text", '{{join "," services}}', "line 1: join: wants a string, got service"),
    ("a whole service", '{{range service "web"}}{{.}}{{end}}', "a service as a whole cannot be printed"),
    # fmt and numbers
    ("another verb", '{{printf "%x" 1}}', "line 1: printf: the verb '%x' is not supported"),
    ("a precision of a number", '{{printf "%.2d" 1}}', "line 1: printf: the verb '%.2d' is not supported"),
    ("a verb in a branch not taken", '{{if 0}}{{printf "%x" 1}}{{end}}', "line 1: printf: the verb '%x'"),
    ("arguments in a branch not taken", "{{if 0}}{{toLower}}{{end}}", "line 1: toLower wants 1 argument, got 0"),
    ("beyond the text", '{{slice "ab" 3}}', "line 1: slice: index out of range: 3"),
    ("a part that ends before it begins", '{{slice "ab" 2 1}}', "slice: the first index, 2, is beyond the second, 1"),
    ("a verb of another type", '{{printf "%d" "a"}}', "line 1: printf: %d cannot print string"),
    ("a verb too many", '{{printf "%s%s" "a"}}', "line 1: printf: the verb '%s' has no argument"),
    ("an argument too many", '{{printf "a" 1}}', "line 1: printf: 1 of the arguments have no verb"),
    ("a verb cut off", '{{printf "5%"}}', "line 1: printf: the verb '%' is not finished"),
    ("a huge width", '{{printf "%99999s" "a"}}', "is wider than 1000"),
    ("division by zero", "{{divide 0 1}}", "line 1: divide: division by zero"),
    ("a sum beyond int64", "{{add 9223372036854775807 1}}", "line 1: add: the result is too large for an int64"),
    ("a remainder of floats", "{{modulo 2.0 1}}", "line 1: modulo: cannot calculate with float64"),
    ("no integer", '{{parseInt "1x"}}', "line 1: parseInt: '1x' is not an integer"),
    # the catalog
    ("a missing key", '\n{{key "no/such"}}', "line 2: key: there is no key 'no/such'"),
    ("a key with NUL", '{{key "nul"}}', "line 1: key: the value of 'nul' holds a NUL"),
    ("a key elsewhere", '{{key "a@dc2"}}', "line 1: key: 'a@dc2' asks another datacenter, which is not supported"),
    ("a service elsewhere", '{{service "web@dc2"}}', "line 1: service: 'web@dc2' asks another datacenter"),
    ("services elsewhere", '{{services "@dc2"}}', "line 1: services: another datacenter cannot be asked"),
    ("a name that is none", '{{service "a b"}}', "line 1: service: 'a b' is not of the form name or tag.name"),
    ("an unknown status", '{{service "web" "passing,broken"}}', "line 1: service: unknown status 'broken'"),
    ("any in company", '{{service "web" "any,passing"}}', "line 1: service: the status any stands alone"),
]


@pytest.mark.parametrize(("template", "fault"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS])
def test_refuses(template: str, fault: str) -> None:
    with pytest.raises(TemplateFault) as caught:
        render(template, data())
    assert fault in str(caught.value)


def test_a_fault_carries_its_line_and_its_reason() -> None:
    with pytest.raises(TemplateFault) as caught:
        render("\n{{$x}}", data())
    assert (caught.value.line, caught.value.reason) == (2, "undefined variable '$x'")


HOSTILE = ServiceEntry("n1", "10.0.0.1", 80, "a", "web", ("ok", "x\n    server evil 6.6.6.6:80"))


@pytest.mark.parametrize(
    "template",
    [
        '{{range service "web"}}{{.Tags}}{{end}}',
        '{{range service "web"}}{{index .Tags 1}}{{end}}',
        '{{range service "web"}}{{range .Tags}}{{.}}{{end}}{{end}}',
        '{{range service "web"}}{{join "," .Tags}}{{end}}',
        '{{range service "web"}}{{index .Tags 1 | toUpper}}{{end}}',
        '{{range service "web"}}{{index .Tags 1 | replaceAll "x" "y"}}{{end}}',
        '{{range service "web"}}{{index .Tags 1 | split ","}}{{end}}',
        '{{range service "web"}}{{index .Tags 1 | trimSpace}}{{end}}',
        '{{range service "web"}}{{print (index .Tags 1)}}{{end}}',
        '{{range service "web"}}{{slice (index .Tags 1) 0 1}}{{end}}',
        '{{range service "web"}}{{html (index .Tags 1)}}{{js (index .Tags 1)}}{{urlquery (index .Tags 1)}}{{end}}',
        '{{range service "web"}}{{printf "%.1s" (index .Tags 1)}}{{end}}',
        '{{range service "web"}}{{printf "%s" (index .Tags 1)}}{{end}}',
        '{{range service "web"}}{{printf "%q" .Tags}}{{end}}',
        '{{range service "web"}}{{keyOrDefault "no" (index .Tags 1)}}{{end}}',
        '{{range service "web"}}{{or "" (index .Tags 1)}}{{end}}',
        '{{range $tag, $all := byTag (service "web")}}{{$tag}}{{end}}',
        "{{range services}}{{.Tags}}{{end}}",
    ],
)
def test_no_tag_can_add_a_line_to_the_configuration(template: str) -> None:
    with pytest.raises(TemplateFault, match=r"the catalog holds .* a control character may not reach"):
        render(template, FakeData((HOSTILE,)))


def test_a_hostile_tag_does_not_break_templates_that_only_compare_tags() -> None:
    template = '{{range service "ok.web"}}{{if .Tags | contains "ok"}}{{.Address}}{{end}}{{end}}'
    assert render(template, FakeData((HOSTILE,))) == "10.0.0.1"


@pytest.mark.parametrize("name", ["Node", "Address", "ID", "NodeAddress", "Status"])
@pytest.mark.parametrize("character", ["\n", "\r", "\0", "\x1b", "\u2028", " ", "\u00a0", "\"", "'", "\\", "$", "#"])
def test_no_field_can_print_more_than_a_word(name: str, character: str) -> None:
    values = {"Node": "n", "Address": "a", "ID": "i", "NodeAddress": "b", "Status": "passing", name: f"x{character}y"}
    entry = ServiceEntry(Name="web", Port=80, Tags=(), **values)
    with pytest.raises(TemplateFault, match="control character"):
        render(f'{{{{range service "web" "any"}}}}{{{{.{name}}}}}{{{{end}}}}', FakeData((entry,)))


def test_the_data_is_asked_once_per_question_and_in_one_form() -> None:
    source = data()
    render('{{service "web" "warning, passing," | len}}{{service "web" "passing,warning" | len}}', source)
    render('{{service "blue.web" | len}}{{service "web" " " | len}}', source)
    assert source.asked == [("web", "passing,warning"), ("web", None), ("web", None)]


def test_a_failing_catalog_is_not_turned_into_a_fault() -> None:
    class Unreachable(FakeData):
        def key(self, name: str) -> str | None:
            raise ConnectionError("no route to Consul")

    with pytest.raises(ConnectionError):
        render('{{key "a"}}', Unreachable())


def test_every_name_the_parser_lets_through_has_a_function() -> None:
    source: Data = data()
    assert set(Catalog(source).functions()) == set(CATALOG_NAMES)


LONG_LIST = '{{$l := split "" (printf "%01000d" 0)}}'

BOUNDS = [
    ("blocks", "{{if 1}}" * 5000, "blocks are nested more than 50 deep"),
    ("parentheses", "{{" + "(" * 5000 + "1" + ")" * 5000 + "}}", "parentheses are nested more than 50 deep"),
    ("variables", "".join(f"{{{{$v{i} := 1}}}}" for i in range(200)), "more than 100 variables at once"),
    ("source", "a" * 1024 * 1024 + "b", "the template is longer than"),
    ("doubling text", '{{$x := "ab"}}' + "{{$x = print $x $x}}" * 40, "the template takes more than 1000000 steps"),
    (
        "replacing",
        '{{$x := printf "%1000s" ""}}{{$x = replaceAll " " $x $x}}{{$x = replaceAll " " $x $x}}',
        "replaceAll: more than 4194304 characters of text",
    ),
    (
        "nested loops",
        LONG_LIST + "{{range $l}}{{range $l}}{{range $l}}{{end}}{{end}}{{end}}",
        "the template takes more than 1000000 steps",
    ),
    (
        "loops over long text",
        LONG_LIST + '{{$x := join "aaaaaaaa" $l}}{{$x = join $x $l}}{{range $l}}{{if in $x "b"}}{{end}}{{end}}',
        "join: more than 4194304 characters of text",
    ),
    (
        "output",
        '{{$x := printf "%1000s" ""}}' + LONG_LIST + "{{range $l}}" + "{{$x}}" * 5 + "{{end}}",
        "the output is longer than 4194304 characters",
    ),
    (
        "questions",
        LONG_LIST + '{{range $i, $_ := $l}}{{range $j, $_ := $l}}{{keyExists (print $i "/" $j)}}{{end}}{{end}}',
        "more than 5000 different questions to the catalog",
    ),
]


@pytest.mark.parametrize(("template", "fault"), [case[1:] for case in BOUNDS], ids=[case[0] for case in BOUNDS])
def test_is_bounded(template: str, fault: str) -> None:
    with pytest.raises(TemplateFault) as caught:
        render(template, data())
    assert fault in str(caught.value)


def test_the_deepest_template_that_is_allowed_renders() -> None:
    depth = 25
    template = "{{if 1}}" * depth + "{{" + "(" * depth + "1" + ")" * depth + "}}" + "{{end}}" * depth
    assert render(template, data()) == "1"


@given(st.text().filter(lambda text: "{{" not in text))
def test_text_without_actions_renders_to_itself(text: str) -> None:
    assert render(text, data()) == text


# Pieces of the language, so that random joins of them get past the lexer and often past the parser.
PIECES = [
    *('{{', '{{- ', '}}', ' -}}', '{{end}}', '{{else}}', '{{else if ', '{{if ', '{{with ', '{{range ', '{{/*', '*/}}'),
    *('{{range $i, $e := service "web" "any"}}', '{{range split "," "a,b"}}', "{{$x := ", "$x", "$e.Node", "$i", " = "),
    *(' | ', '(', ')', ' ', '\n', '.', '.Tags', '.Port', '"', '"%5d"', '"%v%%"', '`', '1', '-2.5', '0', 'nil', 'true'),
    *("print ", "printf ", "index ", "len ", "eq ", "lt ", "and ", "not ", "join ", "split ", "replaceAll "),
    *("toTitle ", "add ", "divide ", "modulo ", "key ", "keyExists ", "services", "byTag ", "in ", "parseInt ", "env "),
    *("é", "\\"),
]  # fmt: skip


ACTIONS = st.text(max_size=60).map(lambda text: "{{" + text + "}}")


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), ACTIONS, st.text()))
def test_any_input_renders_or_is_a_fault(template: str) -> None:
    outcome = render_or_fault(template)
    if isinstance(outcome, TemplateFault):
        assert 1 <= outcome.line <= template.count("\n") + 1


def render_or_fault(template: str) -> str | TemplateFault:
    try:
        return render(template, data())
    except TemplateFault as fault:
        return fault
