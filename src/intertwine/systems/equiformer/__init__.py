"""EquiformerV2, with a Gaunt self-interaction where wanted: energies and forces of atoms on surfaces (OC20)."""

from intertwine.training.system import RecipeInfo, System

__all__ = ["SYSTEM"]

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
            data=("oc20/s2ef/2M/train", *(f"oc20/s2ef/all/{name}" for name in ("val_id", "val_ood_ads"))),
        ),
    },
    paper="Liao et al., EquiformerV2, ICLR 2024; Luo, Chen, Krishnapriyan, Gaunt tensor products, ICLR 2024",
)
