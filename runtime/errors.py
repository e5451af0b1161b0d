"""What can go wrong where the world is touched: a class for each code, `DL60…` for data, `DL80…` for files and runs."""

from __future__ import annotations

from dlc.grammar.diagnostics import Diagnostic

# --- DL60: data ------------------------------------------------------------------------------------------------


class UnknownSource(Diagnostic):
    """Data comes from `sklearn(name)` or `builtin(name)`, from files by `csv(path)`, `jsonl(path)`, `parquet(path)`,
    `npz(path)`, `idx(images, labels)`, `images(folder)` and `text(path, tokenizer, window)`, or from nowhere by
    `generate(count)`, whose fields are drawn at random."""

    code = "DL6001"
    example = 'data Prices:\n    source = xlsx("prices.xlsx")\n    price: float[] = price\n'


class SourceArguments(Diagnostic):
    """A source is given an argument that it does not have, lacks one that it needs, or gets one of another kind."""

    code = "DL6002"
    example = 'data Prices:\n    source = csv("prices.csv", separator=";")\n    price: float[] = price\n'


class MissingData(Diagnostic):
    """A data file is not there, or cannot be opened. A relative path starts at the folder of the spec that names it."""

    code = "DL6003"
    example = 'data Prices:\n    source = csv("nowhere.csv")\n    price: float[] = price\n'


class UnreadableData(Diagnostic):
    """A data file is not what its source reads: it is empty, is not text in UTF-8, holds something else than its name
    says, or was cut off."""

    code = "DL6004"
    example = 'data Prices:\n    source = npz("prices.csv")  # which is no .npz file\n    price: float[] = price\n'


class BadHeader(Diagnostic):
    """The first line of a csv file names its columns, each once. What is no name in DL is made one: every run of other
    characters becomes an underscore, so that `sepal length (cm)` is read as `sepal_length_cm`."""

    code = "DL6005"
    example = 'data Flowers:\n    source = csv("flowers.csv")  # whose first line is 5.1,3.5,1.4\n    width: float[]\n'


class RaggedRow(Diagnostic):
    """A row of a csv file has more or fewer cells than the header names. Often a comma within a cell lacks its quotes,
    or a decimal comma is used with commas between cells."""

    code = "DL6006"
    example = 'data Prices:\n    source = csv("prices.csv")  # with a row 12,5,3 under a,b\n    price: float[] = a\n'


class NotANumber(Diagnostic):
    """A cell that a field reads holds something else than is due: where all others hold numbers, text or nothing at
    all, or a number that is not finite; where its column has `categories`, a word that is none of them. A column whose
    cells are all whole numbers is read as int, every other as float. What one row of a .jsonl file holds, numbers or
    lists of as many numbers, every other row holds too."""

    code = "DL6007"
    example = 'data Flowers:\n    source = csv("flowers.csv")  # where a width is n/a\n    width: float[]\n'


class BadArray(Diagnostic):
    """The arrays of an .npz file are its columns: numbers or truth values, with one entry along axis 0 for each
    example. Arrays of objects are pickles, which could run code when they are read, so they are never read."""

    code = "DL6008"
    example = 'data Digits:\n    source = npz("digits.npz")  # x of 100 examples, y of 99\n    image: float[64] = x\n'


class UnknownDataset(Diagnostic):
    """scikit-learn brings the data sets breast_cancer, diabetes, digits, iris, linnerud and wine; built in are
    python_docs and karate_club."""

    code = "DL6009"
    example = 'data Digits:\n    source = sklearn("digit")\n    image: float[64] = data\n'


class MissingPackage(Diagnostic):
    """A source needs a Python package that is not installed. The packages that data sources use are an extra of dlc:
    install them with `pip install "dlc[data]"`."""

    code = "DL6010"
    example = 'data Digits:\n    source = sklearn("digits")  # without scikit-learn\n    image: float[64] = data\n'


class OutOfRange(Diagnostic):
    """An int field promises that each of its elements x has 0 <= x < a bound, and one does not keep it. Labels that
    count from 1 are brought to 0 by subtracting 1."""

    code = "DL6011"
    example = 'data Digits:\n    source = sklearn("digits")\n    label: int[] < 9 = target\n'


class NotFinite(Diagnostic):
    """A field is not a number (NaN) for some example, so that whatever is learned from it would be NaN too. It comes
    from the file, or from the field's expression, as in the logarithm of a negative number."""

    code = "DL6012"
    example = 'data Diabetes:\n    source = sklearn("diabetes")\n    x: float[10] = log(data)\n'


class EmptyPart(Diagnostic):
    """There are fewer examples than it takes to give each part of the split at least one."""

    code = "DL6013"
    example = "data Noise:\n    source = generate(3)\n    x: float[2] = normal(2)\n    split = (train=0.9, valid=0.1)\n"


class UnknownPart(Diagnostic):
    """A run is measured on a part that the `split` of its data does not make."""

    code = "DL6014"
    example = "$ dlc eval runs/digits --split tset\n"


class TooMuchData(Diagnostic):
    """What is read is kept in memory up to a bound, 512 MiB or what the environment variable `DLC_DATA_MEMORY` says,
    and in files without a name beyond it, in the folder that `TMPDIR` names. A file of a few bytes can claim to hold
    any number of examples, so what it claims is held against the space of that disk before anything is read."""

    code = "DL6015"
    example = 'data Photos:\n    source = npz("photos.npz")  # with 100,000,000 photos\n    x: float[3, 512, 512] = x\n'


class BadImage(Diagnostic):
    """A folder of images has a folder for each class, and in it images alone: .png, .jpg, .bmp, .gif, .webp. All
    have the same size, or are brought to the `height` and `width` that the source is given."""

    code = "DL6016"
    example = (
        'data Pets:\n    source = images("pets")  # whose photos differ in size\n    x: float[3, 64, 64] = image\n'
    )


class AnotherData(Diagnostic):
    """The data that a run was trained on has changed since. Its examples would be split into other parts, so that some
    that it has learned from would be measured as new, and a training that goes on would not be the one that was begun.
    """

    code = "DL6017"
    example = "$ dlc train prices.dl -o runs/prices\n$ echo 12,5 >> prices.csv\n$ dlc eval runs/prices\n"


# --- DL80: specs, runs and training ----------------------------------------------------------------------------


class MissingFile(Diagnostic):
    """There is no spec at this path, or it cannot be read."""

    code = "DL8001"
    example = "$ dlc check digit.dl\n"


class NotText(Diagnostic):
    """A spec is text in UTF-8. This file holds bytes that are not: it was saved in another encoding, or is no spec."""

    code = "DL8002"
    example = "$ dlc check model.onnx\n"


class FileTooLarge(Diagnostic):
    """A spec has at most one million bytes. Data belongs in files of its own, which a `data` block names."""

    code = "DL8003"
    example = "$ dlc check photos.tar\n"


class NotARun(Diagnostic):
    """A run is a folder that `dlc train` wrote: it has a `config.json`, the spec it was trained from, and weights."""

    code = "DL8004"
    example = "$ dlc eval runs/nothing\n"


class RunExists(Diagnostic):
    """Training writes into a new folder, so that no run is overwritten by another. `--resume` goes on with a run."""

    code = "DL8005"
    example = "$ dlc train digits.dl -o runs/digits\n$ dlc train digits.dl -o runs/digits\n"


class AnotherSpec(Diagnostic):
    """The run in this folder was started from another spec, or with other values given by `--set`. Its weights and the
    state of its optimiser belong to that spec. With `--force` training goes on with this one, if every weight still has
    its place and its shape; the run then keeps this one."""

    code = "DL8006"
    example = (
        "$ dlc train digits.dl -o runs/digits --set width=32\n"
        "$ dlc train digits.dl -o runs/digits --set width=64 --resume\n"
    )


class RunFinished(Diagnostic):
    """The run has been trained for all the epochs or steps that it was to take. More are asked for with `--epochs`."""

    code = "DL8007"
    example = "$ dlc train digits.dl -o runs/digits\n$ dlc train digits.dl -o runs/digits --resume\n"


class RunLocked(Diagnostic):
    """Another process is training in this folder. Two that write the same run would spoil it."""

    code = "DL8008"
    example = "$ dlc train digits.dl -o runs/digits &\n$ dlc train digits.dl -o runs/digits --resume\n"


class BrokenRun(Diagnostic):
    """A file of the run is damaged or missing. Files are written whole, so it was changed or removed by something else
    than training."""

    code = "DL8009"
    example = "$ echo > runs/digits/model.safetensors\n$ dlc eval runs/digits\n"


class NonFiniteLoss(Diagnostic):
    """The loss became infinite or not a number. Training stopped before the weights were updated by it; the run keeps
    its last checkpoint. The usual causes are a learning rate that is too large, a division by a number near zero, and
    the logarithm or root of a number that can be zero or less."""

    code = "DL8010"
    example = (
        "model Line(x: float[N, 10]) -> (y: float[N]):\n    return x -> linear(1) -> squeeze(1)\n\n"
        'data Diabetes:\n    source = sklearn("diabetes")\n    x: float[10] = data\n    y: float[] = target\n\n'
        "train Fit on Diabetes:\n    net = Line()\n    settings:\n        epochs = 1\n"
        "    step:\n        minimize mean(log(net(x) - y))\n"
    )


class NoDevice(Diagnostic):
    """The device that was asked for does not exist on this machine, or PyTorch was built without support for it."""

    code = "DL8011"
    example = "$ dlc train digits.dl --device cuda:7\n"


class NoWeights(Diagnostic):
    """The run has not reached its first checkpoint, so it has no weights yet."""

    code = "DL8012"
    example = "$ dlc eval runs/digits  # just after it was started\n"


class CannotWrite(Diagnostic):
    """A file of the run cannot be written: the disk is full, the folder belongs to someone else, or a file is in the
    way."""

    code = "DL8013"
    example = "$ dlc train digits.dl -o /proc/digits\n"


class UnknownInstance(Diagnostic):
    """A command needs one of the models that a run trains, and the run has no such one, or several and none was
    chosen. Instances are named at the top of the `train` block; `--model` takes such a name, or the model's."""

    code = "DL8014"
    example = "$ dlc export runs/gan -o gan.onnx  # which trains a generator and a discriminator\n"


class NeverCalled(Diagnostic):
    """An exported model stands in for a network by being called in its place. The step of this run never applies the
    network as a whole, so there is nothing that it could stand in for."""

    code = "DL8015"
    example = "$ dlc eval runs/split --onnx split.onnx  # whose step calls net.encoder and net.decoder\n"


class StepFailed(Diagnostic):
    """PyTorch could not compute a step with these values: an index lies outside of what it looks into, a condition that
    the spec requires does not hold for this batch, or the memory does not suffice. A field that is an index says so by
    its range, as in `int[] < 10`, and is then checked when the data is loaded."""

    code = "DL8016"
    example = (
        "model Words(word: int[N]) -> (score: float[N]):\n    return word -> embedding(4, 1) -> squeeze(1)\n\n"
        'data Digits:\n    source = sklearn("digits")\n    word: int[] = target\n\n'
        "train Fit on Digits:\n    net = Words()\n    settings:\n        epochs = 1\n"
        "    step:\n        minimize mean(net(word) ** 2)\n"
    )


class UnfitOrigin(Diagnostic):
    """A training starts `from` the weights of a run that is not there, has no weights yet, or trained something else:
    every weight must be there under its path, with its shape."""

    code = "DL8017"
    example = (
        'train Tune on Digits:\n    net = Classifier() from "runs/base"  # where runs/base trained 5 classes, not 10\n'
    )


class UnknownProcedure(Diagnostic):
    """A run has no procedure of that name, or the procedure has no such parameter. The procedures are the named blocks
    of the `train` block beside `step` and `evaluate`."""

    code = "DL8018"
    example = "$ dlc call runs/gan smaple --n 4\n"


class AnotherSetup(Diagnostic):
    """Processes that train together must have the same before them: the spec, the data, the versions of dlc and of
    PyTorch. One of them has something else, so that what they compute would not belong together. On several machines
    each needs the same files, and the folder of the run must be one that all of them see."""

    code = "DL8019"
    example = "$ torchrun --nnodes 2 … -m dlc train gpt.dl  # where the second machine has another text.txt\n"


class NotResumable(Diagnostic):
    """`dlc train --verify-resume` trains twice: once without a stop, and once with a process that is killed and another
    that goes on from its last checkpoint. The two did not end alike. On one machine with one version of PyTorch they
    should; a kernel without a deterministic form, which PyTorch warns of on an accelerator, is the usual reason."""

    code = "DL8020"
    example = "$ dlc train digits.dl --verify-resume\n"


class DoesNotFit(Diagnostic):
    """A model does not fit into a memory at any size of the dimension that `dlc fit` was to find, or the spec allows
    none of its sizes. Fewer bytes are taken by `--precision bf16`, by an optimiser that remembers less, or by smaller
    numbers for other dimensions."""

    code = "DL8021"
    example = "$ dlc fit gpt2.dl:GPT2 --memory 100MB --solve N --set T=1024\n"


class CannotMigrate(Diagnostic):
    """Weights cannot be carried to the changed spec as it is asked for: a tensor of the run would have another shape
    there, or nothing at all in the new spec is called as it was. A map tells what became of names, and `initial` in it
    that a weight starts anew."""

    code = "DL8022"
    example = "$ dlc migrate runs/narrow wide.dl -o runs/wide  # where a layer has become wider\n"


class CannotShare(Diagnostic):
    """Several processes train on one batch by computing a part of its examples each, and adding up what comes of them.
    That gives exactly what one process computes where a loss or a report is a mean, or a sum, over the examples; where
    it is a function of such a mean, compares examples with each other, or divides by how many count, it does not. Batch
    normalisation may stand in the way of it, as its statistics are put together on the way."""

    code = "DL8023"
    example = "train Fit on Points:\n    step:\n        minimize sqrt(mse(net(x), y))  # trained with --devices 2\n"


class ProcessDied(Diagnostic):
    """One of the processes that train together came to an end before the training did, and so the others were ended.
    What it said itself stands above, if it could say anything: a process that is killed cannot, be it by somebody or by
    the system for want of memory."""

    code = "DL8024"
    example = "$ dlc train gpt.dl --devices 2  # and `kill -9` for one of the two processes\n"


class CannotShard(Diagnostic):
    """With `--shard` each process keeps a part of every weight, and has a block's weights whole while that block is
    computed. A step that uses weights in another way than by calling its networks, that minimises several losses, or
    whose optimiser looks at whole matrices, cannot be trained so."""

    code = "DL8025"
    example = "$ dlc train gan.dl --devices 2 --shard\n"
