#pragma once
// A trained model of images, or of other samples that are numbers, and the samples that it is judged on.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "launch/settings/run_settings.h"
#include "launch/stored_model/model_source.h"
#include "models/model.h"
#include "runtime/data/dataset.h"
#include "runtime/data/held_out_part.h"
#include "runtime/storage/weights_set.h"

namespace interlock {

struct ImageModel {
  std::shared_ptr<const WeightsSet> weights;
  RunSettings settings;
  std::shared_ptr<const Model> model;
  std::shared_ptr<const Dataset> data;  // the images that `files` name, as the held-out split; open

  std::vector<std::string> classes() const;  // by number: their names, or else the numbers themselves
};

// Whether these weights belong to a model of images or other numbers. Error(bad_input) as stored_settings.
bool is_image_model(const WeightsSet& weights);
// The same of images alone: points and other features have no rows and columns.
bool has_images(const WeightsSet& weights);
// `files`: what stands in the keys of [data] that Dataset::evaluation_keys names; none: what the run held out itself,
// where its config says. Error(usage) for another number of them, Error(bad_input) for what is wrong with weights or
// files. `part`: of the held-out samples.
ImageModel open_image_model(const std::shared_ptr<const WeightsSet>& weights, const std::vector<std::string>& files,
                            HeldOutPart part = HeldOutPart::all);

// The most frequent class among held-out samples 0 .. count - 1, as a share: the accuracy of always guessing it.
double majority_of(const Dataset& data, int64_t count);

struct ImageGuess {
  std::vector<double> probabilities;  // by class
  int64_t truth = 0;
  int64_t guess() const;  // the likeliest class
};
// Of all held-out samples, in the order of their files (of a part of the training files: in one that does not change);
// the same bits however many threads share the work. `source` names what `model` was loaded from.
std::vector<ImageGuess> guess_images(const ImageModel& source, const LoadedModel& model, int threads,
                                     const std::function<void(int64_t)>& progress);

}  // namespace interlock
