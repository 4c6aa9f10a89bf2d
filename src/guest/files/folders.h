// Changing the tree: folders, moves, removal.
#pragma once

#include <string>

#include "guest/users.h"

namespace wrenn::guest {

// Makes the folder and the missing ones above it, each owned by `user`. An existing one is fine;
// kInvalidArgument when something else is in the way.
Status MakeFolders(const std::string& path, const User& user);

// Gives what `fd` names to the user. Without root's rights it is ours and stays so.
Status GiveTo(int fd, const User& user);

// Renames; makes missing folders above the destination. kNotFound when `from` is missing.
Status MovePath(const std::string& from, const std::string& to, const User& user);

// Removes whatever is there, folders with all that is in them; fine when there is nothing. Never
// follows a link, nor a folder that is moved away while it is emptied.
Status RemoveTree(const std::string& path);

// "/a/b" of "/a/b/c"; "/" at the top.
std::string ParentFolder(const std::string& path);

}  // namespace wrenn::guest
