"""GPT-2 in plain PyTorch, as one writes it first: pre-norm blocks, query, key and value as one product, fused attention, tied embeddings."""
from torch import nn
from torch.nn import functional as F
import torch


class GptBlock(nn.Module):
    def __init__(self, width, heads, feed_forward, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, feed_forward), nn.Linear(feed_forward, width)

    def forward(self, x):
        samples, length, width = x.shape
        q, k, v = (part.view(samples, length, self.heads, -1).transpose(1, 2) for part in self.attend(self.norm1(x)).split(width, dim=2))
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0, is_causal=True)
        mixed = self.out(mixed.transpose(1, 2).reshape(samples, length, width))
        x = x + F.dropout(mixed, self.dropout, self.training)
        return x + F.dropout(self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh")), self.dropout, self.training)


class Gpt(nn.Module):
    """forward(tokens, targets): the mean loss, every place predicted."""

    def __init__(self, model):
        super().__init__()
        width, self.dropout = model["width"], model["dropout"]
        self.words, self.places = nn.Embedding(model["vocabulary"], width), nn.Embedding(model["max_length"], width)
        self.blocks = nn.ModuleList(GptBlock(width, model["heads"], model["feed_forward"], self.dropout) for _ in range(model["layers"]))
        self.norm = nn.LayerNorm(width)
        self.scores = nn.Linear(width, model["vocabulary"], bias=False)
        self.scores.weight = self.words.weight
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, targets):
        place = torch.arange(tokens.shape[1], device=tokens.device)
        x = F.dropout(self.words(tokens) + self.places(place), self.dropout, self.training)
        for block in self.blocks:
            x = block(x)
        scores = self.scores(self.norm(x)).flatten(0, 1)
        return F.cross_entropy(scores.float(), targets.flatten())
