"""The published levels of the beer game beside its optimum."""

from jaxinv.studies import beer_game


def test_levels_in_print_are_those_of_the_optimum(quick_compilation):
    """Level 8 at the retailer and the wholesaler, none before (SRDQN): median demand of the 16
    weeks of the whole chain.
    """
    cost = beer_game.cost_by_rule(beer_game.base_stock_at(beer_game.PRINTED)).mean()
    assert abs(cost / beer_game.optimum() - 1.0) < 0.005
    more = beer_game.cost_by_rule(beer_game.base_stock_at((0.0, 0.0, 9.0, 8.0))).mean()
    assert more > 1.03 * cost
