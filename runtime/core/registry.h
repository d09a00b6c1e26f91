#pragma once
// Parts that register themselves by name. Adding a model, schedule, dataset or command is one new file that holds a
// `const Registration<Product, Args...> registered("name", factory);` at namespace scope. The file must be part of a
// CMake OBJECT library (interlock_library PLUGINS), or the linker drops it.

#include <cassert>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"

namespace interlock {

template <class Product, class... Args>
class Registry {
 public:
  using Factory = std::function<std::unique_ptr<Product>(Args...)>;

  static Registry& instance() {
    static Registry registry;
    return registry;
  }
  void add(const std::string& name, Factory factory) {
    [[maybe_unused]] const bool fresh = factories_.emplace(name, std::move(factory)).second;
    assert(fresh && "two parts registered under one name");
  }
  // `what` is the word for messages: "model", "schedule". An unknown name is an Error(config) that lists the known
  // ones.
  std::unique_ptr<Product> create(const std::string& what, const std::string& name, Args... args) const {
    const auto found = factories_.find(name);
    if (found == factories_.end()) throw Error(ExitCode::config, unknown_name(what, name, names()));
    return found->second(std::forward<Args>(args)...);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& [name, factory] : factories_) all.push_back(name);
    return all;
  }

 private:
  std::map<std::string, Factory> factories_;
};

template <class Product, class... Args>
struct Registration {
  Registration(const std::string& name, typename Registry<Product, Args...>::Factory factory) {
    Registry<Product, Args...>::instance().add(name, std::move(factory));
  }
};

}  // namespace interlock
