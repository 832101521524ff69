"""Names, kinds and values of columns as text: a comma or an equals sign in a name is its own."""

from pathlib import Path

import pytest

from logpx.data import load
from logpx.data.asked import kinds_in, names_in, pairs_in
from logpx.errors import UserError


def test_names_are_split_at_commas_unless_a_known_name_holds_them() -> None:
    assert names_in("a, b,,c") == ("a", "b", "c")
    assert names_in(["a,b", "c"]) == ("a,b", "c")
    assert names_in(None) == ()
    assert names_in("a,b,c", ["a", "a,b", "c"]) == ("a,b", "c")
    assert names_in("a,b,c", ["a", "b", "c", "b,c"]) == ("a", "b,c")
    assert names_in("age,city", ["ag", "age", "city"]) == ("age", "city")


def test_pairs_are_split_where_a_known_name_follows() -> None:
    assert pairs_in("city=Paris, France,age=40", ["city", "age"]) == [("city", "Paris, France"), ("age", "40")]
    assert pairs_in("age = 40 , city=a=b", ["city", "age"]) == [("age", "40"), ("city", "a=b")]
    assert pairs_in("x=y=1", ["x=y"]) == [("x=y", "1")]
    assert pairs_in("40", ["age"]) == [("", "40")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("age=real,city=categorical", {"age": "real", "city": "categorical"}),
        ("city=categorical,agee=real", {"city": "categorical", "agee": "real"}),
        ("a,b=real,age=integer,c=d=binary", {"a,b": "real", "age": "integer", "c=d": "binary"}),
        ({"age": "real"}, {"age": "real"}),
        (None, {}),
    ],
)
def test_kinds(text: str, wanted: dict) -> None:
    assert kinds_in(text, ["age", "city", "a,b", "c=d"]) == wanted


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("age", "a part without a kind"),
        ("age=", "a part without a kind"),
        ("city=categorical,age", "a part without a kind"),
        ("city=categorical,city=real", "names the column 'city' twice"),
        ("", "a part without a kind"),
    ],
)
def test_what_is_no_list_of_kinds(text: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        kinds_in(text, ["age", "city"])


def test_a_table_with_a_comma_and_an_equals_sign_in_its_names(tmp_path: Path) -> None:
    rows = "".join(f"{i % 5},{i % 3},{i / 7}\n" for i in range(40))
    (tmp_path / "t.csv").write_text('"a,b",c=d,e\n' + rows)
    data = load(tmp_path / "t.csv", columns="a,b=real,c=d=categorical", context="c=d")
    assert data.columns == ("a,b", "e")
    assert data.kind == "real"
    assert [(c.name, c.kind) for c in data.conditions] == [("c=d", "categorical")]
    given = load(tmp_path / "t.csv", context="a,b,c=d")
    assert [c.name for c in given.conditions] == ["a,b", "c=d"]
    again = load(given.source, **given.describe()["asked"])
    assert again.conditions == given.conditions
    with pytest.raises(UserError, match=r"its columns are 'a,b', 'c=d', 'e'\."):
        load(tmp_path / "t.csv", context="f")


def test_an_unknown_kind_is_said_before_anything_else(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,day\n" + "".join(f"{i / 3},2020-01-01\n" for i in range(20)))
    with pytest.raises(UserError, match="kind='foo' is unknown; choose one of binary"):
        load(tmp_path / "t.csv", kind="foo", columns={"a": "real"})  # type: ignore[arg-type]
