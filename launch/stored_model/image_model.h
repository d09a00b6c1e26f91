#pragma once
// A trained model of images, and the images that it is judged on.

#include <memory>
#include <string>
#include <vector>

#include "launch/settings/run_settings.h"
#include "models/model.h"
#include "runtime/data/dataset.h"
#include "runtime/storage/weights_set.h"

namespace interlock {

struct ImageModel {
  std::shared_ptr<const WeightsSet> weights;
  RunSettings settings;
  std::shared_ptr<const Model> model;
  std::shared_ptr<const Dataset> data;  // the images that `files` name, as the held-out split; open
};

// Whether the weights at this path, as open_text_model takes it, belong to a model of images. Error(bad_input) as
// there.
bool is_image_model(const std::string& path);
// `files`: what stands in the keys of [data] that Dataset::evaluation_keys names. Error(usage) for another number of
// them, Error(bad_input) for what is wrong with weights or files.
ImageModel open_image_model(const std::string& path, const std::vector<std::string>& files);

}  // namespace interlock
