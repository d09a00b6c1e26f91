#pragma once
// Which tensors of a Hugging Face folder become which of ours: what is taken, turned, left out, and what a file of the
// encoder alone has no tensors for.

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "launch/huggingface/folder_model.h"
#include "runtime/storage/weights_set.h"

namespace interlock {

struct Inventory {
  std::vector<std::pair<std::string, std::string>> taken;  // name here, name in the file
  std::set<std::string> turned;                            // of these, by the first name
  std::vector<std::string> left_out;
  std::vector<std::string> fresh;  // of the readout, where the file has none of it: they begin as a run's would

  // Whether the file is what we read, name by name.
  bool is_as_it_stands() const;
};

// Error(bad_input) names what is missing, too many or of another shape.
Inventory take_inventory(const WeightsSet& weights, const FolderModel& model);

// The values of `inventory.fresh`, by name.
std::map<std::string, at::Tensor> fresh_tensors(const Inventory& inventory, const FolderModel& model);
// One sentence about them, for people; "" where there are none.
std::string fresh_text(const Inventory& inventory);

// What the weights of such a model carry besides. `tokenizer`: null where there is none.
std::map<std::string, std::string> metadata_of(const FolderModel& model, const Tokenizer* tokenizer);

// The other way: every tensor of `model` with the name that it has in `weights`; a second name of one tensor
// (`aliases`) serves as well. Error(bad_input) names what is missing or of another shape.
std::vector<std::pair<std::string, std::string>> tensors_for(
    const FolderModel& model, const WeightsSet& weights,
    const std::vector<std::pair<std::string, std::string>>& aliases);

// The tensors are not of a model that its tokenizer belongs to: Error(bad_input).
void check_tokenizer(const Tokenizer& tokenizer, const FolderModel& model, const std::string& folder);

}  // namespace interlock
