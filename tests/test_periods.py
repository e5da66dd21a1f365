import numpy as np
from matplotlib.colors import to_hex
from refusals import refusals

from miiii_core import figures
from miiii_core.figures import periods, style

N = np.arange(50)


def dots(axes):
    """Angle and radius of the dots of each set on polar axes, by name."""
    return {c.get_label(): np.asarray(c.get_offsets()).T for c in axes.collections}


def test_polar_panels_place_n_at_n_radians_and_radius_n():
    first, second = figures.polar_naturals([N, np.array([7])], ["a", "b"]).axes
    angle, radius = dots(first)["n"]
    np.testing.assert_allclose(angle, N % (2 * np.pi))
    np.testing.assert_array_equal(radius, N)
    assert first.get_rmax() == second.get_rmax() == 49
    assert [axes.get_title() for axes in (first, second)] == ["a", "b"]


def test_polar_panels_reach_as_far_as_their_own_numbers_if_asked():
    axes = figures.polar_naturals([N, np.array([7])], ["a", "b"], shared_radius=False).axes
    assert [a.get_rmax() for a in axes] == [49, 7]


def test_each_panel_turns_by_its_own_step_and_a_seventh_of_a_turn_gives_seven_rays():
    figure = figures.polar_naturals([N, N], ["a", "b"], turns=[1 / 7, 0.25])
    angles = [dots(axes)["n"][0] / (2 * np.pi) for axes in figure.axes]
    np.testing.assert_allclose(angles[0], np.arange(50) % 7 / 7, atol=1e-12)
    np.testing.assert_allclose(angles[1], np.arange(50) % 4 / 4, atol=1e-12)
    assert "n radians" not in figure.get_supxlabel()


def test_sets_of_a_panel_have_a_colour_each_and_the_rest_is_grey_below_them():
    groups = {"even": N[::2], "others": N[3::2], "one": N[1:2]}
    (axes,) = figures.polar_naturals([groups], ["a"]).axes
    colours = {c.get_label(): to_hex(c.get_facecolor()[0]).upper() for c in axes.collections}
    expected = {"even": style.COLOURS[0], "others": periods.BACKGROUND, "one": style.COLOURS[1]}
    assert colours == expected
    even, others, one = axes.collections
    assert others.get_zorder() < min(even.get_zorder(), one.get_zorder())
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(groups)


def test_panels_of_the_same_sets_share_one_legend():
    groups = {"even": N[::2], "odd": N[1::2]}
    figure = figures.polar_naturals([groups, groups], ["a", "b"])
    assert [axes.get_legend() for axes in figure.axes] == [None, None]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["even", "odd"]


def test_no_empty_panel_is_left():
    assert len(figures.polar_naturals([N] * 3, "abc", columns=2).axes) == 3


def test_sieve_bars_stand_in_front_of_all_multiples():
    axes = figures.sieve_bars([2, 3], [50, 33], [49, 16]).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [50, 33, 49, 16]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "3"]
    assert axes.get_yscale() == "log"


def test_agreement_is_drawn_over_candidates_with_n_marked():
    figure = figures.agreement_panels({"few": [0.5, 1, 1], "all": [0.1, 1, 0.2]}, 1)
    assert [axes.get_title() for axes in figure.axes] == ["few", "all"]
    line, mark = figure.axes[1].get_lines()
    np.testing.assert_array_equal(line.get_ydata(), [0.1, 1, 0.2])
    assert (list(mark.get_xdata()), list(mark.get_ydata())) == ([1], [1])


WRONG = {
    "titles": (lambda: figures.polar_naturals([N], "ab"), r"2 titles were given for 1"),
    "turns": (lambda: figures.polar_naturals([N], "a", turns=[1, 2]), r"turns has shape \(2,\)"),
    "empty": (lambda: figures.polar_naturals([{"odd": []}], "a"), r"set odd is empty"),
    "grey": (lambda: figures.polar_naturals([{"others": N}], "a"), r"0 sets besides others"),
    "colours": (
        lambda: figures.polar_naturals([{str(i): N for i in range(9)}], "a"),
        r"9 sets besides others; give 1 to 7",
    ),
    "sieve": (lambda: figures.sieve_bars([2], [3, 4], [1]), r"multiples has shape \(2,\).*\(1,\)"),
    "more": (lambda: figures.sieve_bars([2, 3], [9, 3], [9, 4]), r"modulus 3 is first for 4"),
    "scores": (lambda: figures.agreement_panels({}, 0), r"scores is empty"),
    "candidate": (lambda: figures.agreement_panels({"a": [1, 2]}, 2), r"n=2 is no candidate of a"),
}


test_wrong_input_is_refused_with_what_is_accepted = refusals(WRONG)
