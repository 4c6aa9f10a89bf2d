#include "os/shared_libraries.h"

#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>

#include "base/unique_fd.h"
#include "os/command.h"

namespace wrenn::os {
namespace {

// The program's PT_INTERP (elf(5)); "" where there is none.
Result<std::string> ReadInterpreter(const std::string& program) {
  const Error broken{
      Code::kInvalidArgument,
      fmt::format("'{}' is no program that can be jailed", program.substr(program.rfind('/') + 1)),
      program};
  const UniqueFd file(::open(program.c_str(), O_RDONLY | O_CLOEXEC));
  Elf64_Ehdr head{};
  if (!file || ::pread(file.get(), &head, sizeof head, 0) != sizeof head ||
      std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64 ||
      head.e_phentsize != sizeof(Elf64_Phdr)) {
    return Fail(broken);
  }
  for (int i = 0; i < head.e_phnum; ++i) {
    Elf64_Phdr part{};
    const auto offset = static_cast<off_t>(head.e_phoff + i * sizeof part);
    if (::pread(file.get(), &part, sizeof part, offset) != sizeof part) return Fail(broken);
    if (part.p_type != PT_INTERP) continue;
    char path[256] = {};
    if (part.p_filesz >= sizeof path ||
        ::pread(file.get(), path, part.p_filesz, static_cast<off_t>(part.p_offset)) !=
            static_cast<ssize_t>(part.p_filesz)) {
      return Fail(broken);
    }
    return std::string(path);
  }
  return std::string();
}

}  // namespace

Result<std::vector<SharedLibrary>> ParseLibraryList(const std::string& text) {
  std::vector<SharedLibrary> libraries;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    line.erase(0, line.find_first_not_of(" \t"));
    constexpr std::string_view kArrow = " => ";
    const size_t arrow = line.find(kArrow);
    if (arrow == std::string::npos) continue;
    const size_t path = arrow + kArrow.size();
    if (line[path] != '/') {
      return Fail(Code::kNotFound, "the library '{}' is not installed", line.substr(0, arrow));
    }
    libraries.push_back({line.substr(0, arrow), line.substr(path, line.rfind(" (") - path)});
  }
  return libraries;
}

Result<LinkedProgram> FindSharedLibraries(const std::string& program, Deadline deadline) {
  LinkedProgram linked;
  ASSIGN_OR_RETURN(linked.loader, ReadInterpreter(program));
  if (linked.loader.empty()) return linked;
  CommandOptions command;
  command.argv = {linked.loader, "--list", program};
  ASSIGN_OR_RETURN(const std::string list, RunCommandOrFail(command, deadline));
  ASSIGN_OR_RETURN(linked.libraries, ParseLibraryList(list));
  return linked;
}

}  // namespace wrenn::os
