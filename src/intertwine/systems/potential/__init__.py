"""Interatomic potentials: MACE-type and NequIP-type networks trained on energies, forces and stress."""

from intertwine.training.system import RecipeInfo, System, Verb

__all__ = ["SYSTEM"]

_3BPA = ("train_300K.xyz", "iso_atoms.xyz", "dev_300K.xyz", "dev_600K.xyz", "dev_1200K.xyz")
_ACAC = (
    "train_300K.xyz", "isolated_atoms.xyz", "dev_MD_300K.xyz", "dev_MD_600K.xyz", "test_dihedral.xyz",
)  # fmt: skip

SYSTEM = System(
    name="potential",
    package=__name__,
    summary="Interatomic potentials: energies, forces and stress of molecules and crystals",
    recipe=".settings:PotentialRecipe",
    data=".data:make_data",
    module=".training:make_module",
    evaluate=".evaluate:evaluate",
    check=".evaluate:check",
    predict=".predict:predict_files",
    report=".report:sections",
    reproduce=".reproduce:reproduce",
    models=(".model:Potential",),
    verbs={
        "md": Verb("Run molecular dynamics with a trained potential", ".md:add_arguments", ".md:main"),
    },
    recipes={
        "3bpa": RecipeInfo(
            "The flexible drug-like molecule 3BPA, trained at 300 K, tested at 300, 600 and 1200 K",
            data=tuple(f"botnet-3bpa-acac/3bpa/{name}" for name in _3BPA),
        ),
        "3bpa-nequip": RecipeInfo(
            "The same, with the NequIP-type network",
            data=tuple(f"botnet-3bpa-acac/3bpa/{name}" for name in _3BPA),
        ),
        "acac": RecipeInfo(
            "Acetylacetone, trained at 300 K, tested at 300 and 600 K and along a dihedral scan",
            data=tuple(f"botnet-3bpa-acac/acac/{name}" for name in _ACAC),
        ),
    },
    paper="Batatia et al., MACE, NeurIPS 2022; Luo, Chen, Krishnapriyan, Gaunt tensor products, ICLR 2024",
)
