#include "runtime/data/tokenizer/side_files.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"
#include "runtime/core/readable_file.h"
#include "runtime/data/tokenizer/strict_json.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// In the order in which transformers add those that a vocabulary lacks.
const std::vector<std::string> roles = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};

using Roles = std::map<std::string, std::string>;
const Roles of_roberta = {{"bos_token", "<s>"},   {"eos_token", "</s>"}, {"unk_token", "<unk>"},  {"sep_token", "</s>"},
                          {"pad_token", "<pad>"}, {"cls_token", "<s>"},  {"mask_token", "<mask>"}};
const Roles of_gpt2 = {{"bos_token", "<|endoftext|>"}, {"eos_token", "<|endoftext|>"}, {"unk_token", "<|endoftext|>"}};

// Classes that read vocab.json and merges.txt as we do, and their tokens where no file names them.
const std::map<std::string, const Roles*> classes = {{"RobertaTokenizer", &of_roberta},
                                                     {"BartTokenizer", &of_roberta},
                                                     {"LongformerTokenizer", &of_roberta},
                                                     {"LEDTokenizer", &of_roberta},
                                                     {"GPT2Tokenizer", &of_gpt2}};

AddedToken special(const std::string& text) {
  AddedToken token{text, -1};
  token.normalized = false;
  token.special = true;
  return token;
}

// One JSON object of the folder; empty when the file is not there.
class File {
 public:
  File(const std::string& folder, const char* name)
      : path_((fs::path(folder) / name).string()), content_(json::object()) {
    if (!is_named(path_)) return;
    content_ = read_strict_json(path_);
    exists_ = true;
    if (!content_.is_object()) refuse("a JSON object is expected");
  }
  [[noreturn]] void refuse(const std::string& what) const { throw Error(ExitCode::bad_input, path_ + ": " + what); }
  bool exists() const { return exists_; }
  bool has(const std::string& key) const { return content_.contains(key); }
  const json& at(const std::string& key) const { return content_.at(key); }
  const json& content() const { return content_; }

  std::optional<bool> flag(const std::string& key) const {
    if (!has(key) || at(key).is_null()) return std::nullopt;
    if (!at(key).is_boolean()) refuse(message(key, " is ", at(key).dump(), ", not true or false"));
    return at(key).get<bool>();
  }

  // A text, or an object with the flags of a token. A special one takes no part in the second pass unless it says so.
  AddedToken token(const json& value, const std::string& inside, bool is_special) const {
    if (value.is_string()) return special(value.get<std::string>());
    if (!value.is_object() || !value.contains("content") || !value["content"].is_string())
      refuse(message(inside, " is ", value.dump(), ", neither a text nor an object with \"content\""));
    AddedToken made{value["content"].get<std::string>(), -1};
    made.special = is_special;
    std::optional<bool> normalized;
    for (const auto& [key, flag] : value.items()) {
      if (key == "content" || key == "__type") continue;
      const auto is = [&](const char* name) { return key == name; };
      if (!is("lstrip") && !is("rstrip") && !is("single_word") && !is("normalized") && !is("special"))
        refuse(unknown_name("key", inside + "." + key,
                            {"content", "lstrip", "rstrip", "single_word", "normalized", "special"}));
      if (!flag.is_boolean()) refuse(message(inside, ".", key, " is ", flag.dump(), ", not true or false"));
      const bool on = flag.get<bool>();
      if (is("lstrip")) made.lstrip = on;
      if (is("rstrip")) made.rstrip = on;
      if (is("single_word")) made.single_word = on;
      if (is("normalized")) normalized = on;
      if (is("special")) made.special = made.special || on;
    }
    made.normalized = normalized.value_or(!made.special);
    return made;
  }

 private:
  std::string path_;
  json content_;
  bool exists_ = false;
};

// What the files say together, before it is known what the vocabulary has of it.
class SideFiles {
 public:
  SideFiles(const std::string& folder, VocabularyFrom from)
      : config_(folder, "tokenizer_config.json"),
        map_(folder, "special_tokens_map.json"),
        added_(folder, "added_tokens.json") {
    refuse_unsupported(from);
    lists_all_ = config_.has("added_tokens_decoder");
    read_roles(config_);
    read_extra(config_, config_.has("extra_special_tokens") ? "extra_special_tokens" : "additional_special_tokens");
    if (!lists_all_) read_map();
    lists_all_ ? read_decoder() : read_added();
    for (auto& [role, token] : named_) take_flags_of_listed(token);
  }

  bool any() const { return config_.exists() || map_.exists() || added_.exists(); }
  bool class_known() const { return defaults_ != nullptr; }
  bool lists_all() const { return lists_all_; }
  // RoBERTa's class and its like set it, to false where nobody says so; any other class (PreTrainedTokenizerFast)
  // leaves it as tokenizer.json has it.
  std::optional<bool> add_prefix_space() const {
    if (class_known()) return config_.flag("add_prefix_space").value_or(false);
    return config_.has("tokenizer_class") ? std::nullopt : config_.flag("add_prefix_space");
  }
  const std::vector<AddedToken>& listed() const { return listed_; }  // by the id that the file gives them
  // Special tokens, in the order in which they are added.
  std::vector<AddedToken> specials() const {
    std::vector<AddedToken> all;
    for (const std::string& role : roles)
      if (const auto found = named_.find(role); found != named_.end()) all.push_back(found->second);
    for (const auto* more : {&others_, &extra_}) all.insert(all.end(), more->begin(), more->end());
    return all;
  }
  [[noreturn]] void refuse_id(const AddedToken& token, int32_t would_be) const {
    (lists_all_ ? config_ : added_)
        .refuse(message("added token ", json(token.text).dump(), " has the id ", token.id, ", but by the vocabulary ",
                        "and the order of added tokens it gets ", would_be));
  }

 private:
  void refuse_unsupported(VocabularyFrom from) {
    if (config_.has("auto_map") && !config_.at("auto_map").is_null())
      config_.refuse("auto_map: a tokenizer that is a program of its own is not supported");
    if (config_.flag("split_special_tokens").value_or(false))
      config_.refuse("split_special_tokens true is not supported: special tokens are found in texts");
    if (!config_.has("tokenizer_class") || config_.at("tokenizer_class").is_null()) return;
    if (!config_.at("tokenizer_class").is_string()) config_.refuse("tokenizer_class is no text");
    std::string name = config_.at("tokenizer_class").get<std::string>();
    if (name.ends_with("Fast") && name != "PreTrainedTokenizerFast") name.resize(name.size() - 4);
    const auto found = classes.find(name);
    if (found != classes.end()) {
      defaults_ = found->second;
    } else if (from == VocabularyFrom::pair) {  // tokenizer.json says itself what is done
      std::vector<std::string> known;
      for (const auto& [one, defaults] : classes) known.push_back(one);
      config_.refuse(message("tokenizer_class ", config_.at("tokenizer_class").dump(),
                             " is not supported with vocab.json and merges.txt, only ", join(known),
                             "; save it with a tokenizer.json, which says what it does"));
    }
  }

  void read_roles(const File& file) {
    if (&file == &config_ && defaults_ != nullptr)
      for (const auto& [role, text] : *defaults_) {
        named_[role] = special(text);
        // As RoBERTa has it, and all that is published for it; transformers from 5 on only where a file says so.
        named_[role].lstrip = role == "mask_token";
      }
    for (const std::string& role : roles) {
      if (!file.has(role)) continue;
      if (file.at(role).is_null())
        named_.erase(role);
      else
        named_[role] = file.token(file.at(role), role, true);
    }
    // Of other names that end so, the texts are special tokens too.
    for (const auto& [key, value] : file.content().items()) {
      if (!key.ends_with("_token") || std::ranges::count(roles, key) > 0) continue;
      if (value.is_string()) others_.push_back(special(value.get<std::string>()));
    }
  }

  void read_extra(const File& file, const std::string& key) {
    if (!file.has(key) || file.at(key).is_null()) return;
    const json& all = file.at(key);
    if (!all.is_array() && !all.is_object()) file.refuse(message(key, " is neither a list nor an object"));
    for (const auto& [place, value] : all.items()) extra_.push_back(file.token(value, key + "." + place, true));
  }

  void read_map() {
    for (const auto& [key, value] : map_.content().items()) {
      const bool known =
          std::ranges::count(roles, key) > 0 || key == "additional_special_tokens" || key == "extra_special_tokens";
      if (!known) {
        std::vector<std::string> names = roles;
        names.emplace_back("additional_special_tokens");
        map_.refuse(unknown_name("key", key, names));
      }
    }
    read_roles(map_);
    read_extra(map_, "extra_special_tokens");
    if (extra_.empty())
      read_extra(map_, "additional_special_tokens");  // an older name, looked at where there are no others
  }

  void read_decoder() {
    const json& all = config_.at("added_tokens_decoder");
    if (!all.is_object()) config_.refuse("added_tokens_decoder is no object");
    for (const auto& [number, value] : all.items()) {
      int32_t id = -1;
      const auto [end, problem] = std::from_chars(number.data(), number.data() + number.size(), id);
      if (problem != std::errc{} || end != number.data() + number.size() || id < 0)
        config_.refuse(message("added_tokens_decoder: \"", number, "\" is no id"));
      if (!value.is_object()) config_.refuse(message("added_tokens_decoder.", number, " is no object"));
      listed_.push_back(config_.token(value, "added_tokens_decoder." + number, false));
      listed_.back().id = id;
    }
    std::ranges::sort(listed_, {}, &AddedToken::id);
  }

  void read_added() {
    const std::vector<AddedToken> all_special = specials();
    for (const auto& [text, id] : added_.content().items()) {
      if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX)
        added_.refuse(message("token ", json(text).dump(), " has the id ", id.dump(), "; ids count from 0"));
      AddedToken token{text, static_cast<int32_t>(id.get<uint64_t>())};
      token.special = std::ranges::count(all_special, text, &AddedToken::text) > 0;
      token.normalized = !token.special;
      listed_.push_back(std::move(token));
    }
    std::ranges::sort(listed_, {}, &AddedToken::id);
  }

  void take_flags_of_listed(AddedToken& token) {
    for (AddedToken& one : listed_) {
      if (one.text != token.text) continue;
      one.special = true;
      token = one;
      token.id = -1;
    }
  }

  File config_, map_, added_;
  const Roles* defaults_ = nullptr;
  bool lists_all_ = false;
  std::map<std::string, AddedToken> named_;
  std::vector<AddedToken> others_, extra_, listed_;
};

// The added tokens of a content, and the ids that new ones get.
class Additions {
 public:
  Additions(TokenizerContent& content, const SideFiles& files) : content_(content), files_(files) {
    for (size_t id = 0; id < content.tokens.size(); ++id) ids_.emplace(content.tokens[id], static_cast<int32_t>(id));
  }
  AddedToken* known(const std::string& text) {
    const auto found = std::ranges::find(content_.added, text, &AddedToken::text);
    return found == content_.added.end() ? nullptr : &*found;
  }
  void add(AddedToken token) {
    const auto in_vocabulary = ids_.find(token.text);
    const auto id = in_vocabulary != ids_.end() ? in_vocabulary->second : static_cast<int32_t>(content_.tokens.size());
    if (token.id >= 0 && token.id != id) files_.refuse_id(token, id);
    token.id = id;
    if (in_vocabulary == ids_.end()) {
      content_.tokens.push_back(token.text);
      ids_.emplace(token.text, id);
    }
    if (AddedToken* before = known(token.text))
      *before = std::move(token);
    else
      content_.added.push_back(std::move(token));
  }
  const TokenIds& ids() const { return ids_; }

 private:
  TokenizerContent& content_;
  const SideFiles& files_;
  TokenIds ids_;
};

}  // namespace

void lay_side_files_over(TokenizerContent& content, const std::string& folder, VocabularyFrom from) {
  const SideFiles files(folder, from);
  if (!files.any()) return;
  content.add_prefix_space = files.add_prefix_space().value_or(content.add_prefix_space);
  // A vocabulary alone has the usual special tokens only as long as nobody says whose it is.
  const std::vector<AddedToken> usual =
      from == VocabularyFrom::pair ? std::exchange(content.added, {}) : std::vector<AddedToken>();
  Additions additions(content, files);
  for (const AddedToken& token : files.listed())
    if (files.lists_all() || additions.known(token.text) == nullptr) additions.add(token);
  std::set<std::string> listed;
  for (const AddedToken& token : content.added) listed.insert(token.text);
  for (const AddedToken& token : files.specials())
    if (listed.insert(token.text).second) additions.add(token);
  if (!files.class_known())
    for (const AddedToken& token : usual)
      if (listed.insert(token.text).second) additions.add(token);
  if (from == VocabularyFrom::pair) std::ranges::sort(content.added, {}, &AddedToken::id);
}

}  // namespace interlock
