// Recipes: what images are made of, and the steps by which it becomes a root file system.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "template/catalogue.h"
#include "template/workspace.h"

namespace wrenn::template_ {

class Recipe {
 public:
  virtual ~Recipe() = default;
  // What the image depends on, for people. Package versions are not in it: `force` takes new ones.
  virtual std::string Text() const = 0;
  // One line for lists.
  virtual std::string Description() const = 0;
  // Makes the workspace's file image/rootfs; the folder is there. `say` gets news.
  virtual Status Make(const Workspace& workspace,
                      const std::function<void(const std::string&)>& say) = 0;

  // Of everything that the image depends on: equal hashes, equal images.
  std::string Hash() const;
};

// The recipe of a request that is valid, with its ingredients found.
Result<std::unique_ptr<Recipe>> MakeRecipe(const Workspace& workspace, const BuildRequest& request);

}  // namespace wrenn::template_
