from counterstain.inference.classical import ClassicalBackend
from counterstain.training.exporting.card import model_card


def test_a_card_says_what_the_model_reads_infers_and_learned_from():
    manifest = ClassicalBackend().manifest.model_copy(
        update={"training_data": ("my fields",), "stains": ("hematoxylin", "AEC")}
    )
    card = model_card(manifest, task="compact", step=1200)
    for part in (
        "# classical",
        "hematoxylin and AEC",
        "0.25 um",
        "| distance | distance | 1 |",
        "- my fields",
        "Apache-2.0",
        "1,200",
    ):
        assert part in card


def test_what_nobody_stated_is_said_to_be_missing():
    assert "- not stated" in model_card(ClassicalBackend().manifest, task="compact", step=1)
