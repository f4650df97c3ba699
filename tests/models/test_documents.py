"""Rows of a batch are documents: nothing crosses from one to another, whatever the architecture."""

import pytest
import torch

from tests.models.test_network import SPECS, TIME, VOCABULARY, built

END = VOCABULARY - 1
every_network = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def rows() -> torch.Tensor:
    tokens_BT = torch.randint(0, END, (3, TIME), generator=torch.Generator().manual_seed(5))
    tokens_BT[1, 5:] = END  # a document shorter than the row
    return tokens_BT


@every_network
def test_no_gradient_crosses_from_one_document_to_another(spec):
    model = built(spec).double()
    embedded = []
    model.embedding.register_forward_hook(lambda module, args, output: embedded.append(output) or output.retain_grad())
    model(rows())[1, :5].square().sum().backward()
    given_BTW = embedded[0].grad
    assert given_BTW[[0, 2]].eq(0).all()
    assert given_BTW[1, 5:].eq(0).all()
    assert given_BTW[1, :5].ne(0).any(-1).all()


@every_network
def test_a_document_scores_the_same_alone_and_without_what_fills_its_row(spec):
    model = built(spec).double()
    with torch.no_grad():
        together_TN = model(rows())[1, :5]
        torch.testing.assert_close(model(rows()[1:2, :5])[0], together_TN)
