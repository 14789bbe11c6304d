"""PyTorch's side of P8: the networks of models.mjs, trained on one batch again and again.

python torch_step.py MODEL THREADS: then, for each line "MS" on stdin, trains that long and prints steps per second. AdamW is
PyTorch's fused one, the fastest that it has; everything else as it comes.
"""

import json
import os
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

# As in our-step.mjs.
LEARNING_RATE = 1e-5


def mlp():
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))


def lenet():
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


class Block(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.short = nn.Identity()
        if stride != 1 or before != after:
            self.short = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.short(x))


def resnet8():
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
    )


MODELS = {"mlp": (mlp, [64, 784]), "lenet": (lenet, [64, 1, 28, 28]), "resnet8": (resnet8, [32, 3, 32, 32])}


def main():
    name, threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    build, shape = MODELS[name]
    model = build().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01, fused=True)
    index = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    x = torch.sin(index * index).float().reshape(shape)
    labels = torch.arange(shape[0]) % 10

    def step():
        optimizer.zero_grad(set_to_none=True)
        scores = model(x)
        loss = F.cross_entropy(scores, labels)
        loss.backward()
        optimizer.step()
        right = (scores.argmax(1) == labels).sum().item()
        return loss.item(), right

    for _ in range(5):
        step()
    print("ready", flush=True)
    for line in sys.stdin:
        limit = float(line) / 1000
        count, cpu, started = 0, os.times(), time.perf_counter()
        while time.perf_counter() - started < limit:
            loss, _ = step()
            count += 1
        seconds = time.perf_counter() - started
        after = os.times()
        spent = after.user + after.system - cpu.user - cpu.system
        print(json.dumps({"perSecond": count / seconds, "cpuUs": spent * 1e6 / count, "loss": loss}), flush=True)


if __name__ == "__main__":
    main()
