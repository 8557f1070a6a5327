"""EquiformerV2, with a Gaunt self-interaction where wanted: energies and forces of atoms on surfaces (OC20)."""

from intertwine.training.system import RecipeInfo, System

__all__ = ["SYSTEM"]

_SPLITS = ("id", "ood_ads", "ood_cat", "ood_both")

SYSTEM = System(
    name="equiformer",
    package=__name__,
    summary="Catalysts: energies and forces of adsorbates on surfaces, by equivariant graph attention",
    recipe=".settings:EquiformerRecipe",
    data=".data:make_data",
    module=".training:make_module",
    evaluate=".evaluate:evaluate",
    check=".evaluate:check",
    predict=".predict:predict_files",
    report=".report:sections",
    reproduce=".reproduce:reproduce",
    models=(".model:Equiformer",),
    recipes={
        "oc20_2m": RecipeInfo(
            "OC20 S2EF, 2M split; the cpu and smoke scales make small surfaces of their own",
            data=("oc20/s2ef/2M/train", *(f"oc20/s2ef/all/val_{name}" for name in _SPLITS)),
        ),
    },
    paper="Liao et al., EquiformerV2, ICLR 2024; Luo, Chen, Krishnapriyan, Gaunt tensor products, ICLR 2024",
)
