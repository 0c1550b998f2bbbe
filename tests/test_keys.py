"""No two users of randomness share a key: roles have tags of their own, and nobody counts up to
them.
"""

import ast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_architecture import MODULES, name_of

from jaxinv.keys import Role, generator, instance_generator, key_of, keys_of, root

COUNT = 3000
"""Runs, groups, days or lessons; none of them counts further."""


def bits(keys):
    """Keys of any shape as whole numbers, one each."""
    data = np.asarray(jax.random.key_data(keys)).reshape(-1, 2).astype(np.uint64)
    return data[:, 0] << np.uint64(32) | data[:, 1]


def test_split_and_fold_meet_where_tags_are_small():
    """Why tags are large: were this to change, roles would still be apart."""
    key = root(0)
    assert (
        bits(jax.random.split(key, 4))
        == bits(jnp.stack([jax.random.fold_in(key, i) for i in range(4)]))
    ).all()


def test_no_two_roles_meet_at_any_depth():
    """Roots of several seeds, their splits, every role below them, what it counts, and every role
    nested in it with what that counts: all different."""
    found = []
    for seed in range(3):
        found += [bits(root(seed)), bits(jax.random.split(root(seed), COUNT))]
        for outer in Role:
            found += [bits(key_of(root(seed), outer)), bits(keys_of(root(seed), outer, COUNT))]
    keys = jnp.stack([key_of(root(0), outer) for outer in Role])
    for inner in Role:
        nested = jax.vmap(lambda key: key_of(key, inner))(keys)
        counted = jax.vmap(lambda key: keys_of(key, inner, 64))(keys)
        twice = jax.vmap(lambda key: keys_of(key, inner, 64))(counted[:, :8].reshape(-1))
        found += [bits(nested), bits(counted), bits(twice)]
    found = np.concatenate(found)
    assert len(np.unique(found)) == len(found)


def test_tags_are_large_and_apart():
    tags = [role.tag for role in Role]
    assert len(set(tags)) == len(tags)
    assert all(2**31 <= tag < 2**32 for tag in tags)


def test_several_keys_are_the_key_by_number():
    several = keys_of(root(3), Role.TRAINING, 4)
    assert (
        bits(several) == np.concatenate([bits(key_of(root(3), Role.TRAINING, i)) for i in range(4)])
    ).all()


def test_generators_are_apart():
    first = [generator(role, seed).integers(2**62) for role in Role for seed in (0, 1, 2)]
    first += [
        instance_generator(seed).integers(2**62) for seed in [0, 1, 2, *(role.tag for role in Role)]
    ]
    assert len(set(first)) == len(first)
    assert generator(Role.BOOTSTRAP, 5).integers(2**62) == generator(Role.BOOTSTRAP, 5).integers(
        2**62
    )


PUBLISHED = {"demand/deepstock_paths.py"}
"""Draws as published code does, from NumPy's plain generators."""


def calls(path):
    """Every call in a module: its dotted name, its node, and whether it stands within
    `jax.eval_shape`.
    """
    shapes, tree = set(), ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "jax.eval_shape":
            shapes |= {id(inside) for inside in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node, id(node) in shapes


def constants(path):
    """Names that a module sets to a number."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from (name.id for name in ast.walk(target) if isinstance(name, ast.Name))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_makes_keys_of_its_own(path):
    """What is folded in or split off to tell roles apart is a role's; what is counted may be
    folded.
    """
    if name_of(path) == "keys.py":
        return
    own = set(constants(path))
    for name, node, for_shapes in calls(path):
        where = f"{name_of(path)}:{node.lineno}"
        if name.endswith("fold_in"):
            tag = node.args[1]
            assert not isinstance(tag, ast.Constant), f"{where} folds in a literal"
            assert not (isinstance(tag, ast.Name) and tag.id in own), f"{where} folds in {tag.id}"
        if name.endswith(("random.key", "random.PRNGKey")):
            assert for_shapes, f"{where} makes a key; use jaxinv.keys.root and a role"
        if name.endswith("default_rng"):
            assert name_of(path) in PUBLISHED, (
                f"{where} makes a generator; use jaxinv.keys.generator and a role"
            )
        if "RandomState" in name:
            assert name_of(path) in PUBLISHED, where


def test_every_role_is_played():
    source = "".join(path.read_text() for path in MODULES if name_of(path) != "keys.py")
    assert not [role.name for role in Role if f"Role.{role.name}" not in source]
