#include "template/minimal.h"

#include <elf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/io.h"
#include "os/files.h"
#include "template/apt.h"
#include "template/tools.h"

namespace wrenn::template_ {
namespace {

constexpr size_t kMaxBusybox = 16 << 20;

struct Folder {
  const char* path;
  mode_t mode;
};
constexpr Folder kFolders[] = {
    {"/bin", 0755},           {"/dev", 0755},       {"/etc", 0755},
    {"/home", 0755},          {"/home/user", 0755}, {"/lib", 0755},
    {"/mnt", 0755},           {"/opt", 0755},       {"/proc", 0555},
    {"/root", 0700},          {"/run", 0755},       {"/sbin", 0755},
    {"/srv", 0755},           {"/sys", 0555},       {"/tmp", 01777},
    {"/usr", 0755},           {"/usr/bin", 0755},   {"/usr/local", 0755},
    {"/usr/local/bin", 0755}, {"/usr/sbin", 0755},  {"/usr/local/sbin", 0755},
    {"/var", 0755},           {"/var/log", 0755},   {"/var/tmp", 01777},
};

struct TextFile {
  const char* path;
  mode_t mode;
  const char* text;
};
constexpr TextFile kFiles[] = {
    {"/etc/passwd", 0644,
     "root:x:0:0:root:/root:/bin/sh\n"
     "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
     "user:x:1000:1000:user:/home/user:/bin/sh\n"},
    {"/etc/group", 0644, "root:x:0:\ntty:x:5:\nnogroup:x:65534:\nuser:x:1000:\n"},
    // Nobody has a password: who may enter is the agent's business.
    {"/etc/shadow", 0600, "root:*:19000:0:99999:7:::\nuser:*:19000:0:99999:7:::\n"},
    {"/etc/hosts", 0644, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"},
    {"/etc/hostname", 0644, "sandbox\n"},
    {"/etc/nsswitch.conf", 0644, "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"},
    {"/etc/resolv.conf", 0644, ""},
    {"/etc/shells", 0644, "/bin/sh\n/bin/ash\n"},
    {"/etc/profile", 0644,
     "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
     "export LANG=${LANG:-C.UTF-8}\n"
     "if [ \"$(id -u)\" = 0 ]; then PS1='\\h:\\w# '; else PS1='\\h:\\w$ '; fi\n"
     "for script in /etc/profile.d/*.sh; do [ -r \"$script\" ] && . \"$script\"; done\n"
     "unset script\n"},
    {"/etc/os-release", 0644,
     "NAME=\"wrenn minimal\"\nPRETTY_NAME=\"wrenn minimal (busybox)\"\nID=wrenn-minimal\n"
     "ID_LIKE=busybox\nVERSION_ID=1\n"},
};

// Whether the file is a 64-bit program that needs no loader, and so no libraries.
bool IsStaticProgram(const std::string& path) {
  const auto content = ReadFile(path, kMaxBusybox);
  if (!content || content->size() < sizeof(Elf64_Ehdr)) return false;
  Elf64_Ehdr header;
  std::memcpy(&header, content->data(), sizeof header);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64) {
    return false;
  }
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    const uint64_t at = header.e_phoff + uint64_t{i} * sizeof(Elf64_Phdr);
    if (at > content->size() - sizeof(Elf64_Phdr)) return false;
    Elf64_Phdr segment;
    std::memcpy(&segment, content->data() + at, sizeof segment);
    if (segment.p_type == PT_INTERP) return false;
  }
  return true;
}

Status MakeFolder(const std::string& path, mode_t mode) {
  RETURN_IF_ERROR(os::MakeDirectory(path));
  // Apart from mkdir(2), which the caller's umask would change.
  if (::chmod(path.c_str(), mode) < 0) return Fail(ErrnoError("cannot set the mode of " + path));
  return {};
}

Status MakeLink(const std::string& target, const std::string& path) {
  if (::symlink(target.c_str(), path.c_str()) == 0 || errno == EEXIST) return {};
  return Fail(ErrnoError("cannot make the link '" + path + "'"));
}

// A link for every program that this busybox is: it lists them as "usr/bin/wget".
Status LinkApplets(const Workspace& workspace, const std::string& busybox,
                   const std::string& tree) {
  ASSIGN_OR_RETURN(const auto list, RunTool(workspace, {.argv = {busybox, "--list-full"}}));
  std::string_view rest = list;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string path = "/" + std::string(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (path == "/" || path == "/bin/busybox" || path.find("..") != path.npos) continue;
    if (!os::Exists(tree + path.substr(0, path.rfind('/')))) continue;  // linuxrc has its own place
    RETURN_IF_ERROR(MakeLink("/bin/busybox", tree + path));
  }
  return {};
}

}  // namespace

Result<std::string> FindBusybox(const Workspace& workspace) {
  for (const char* path : {"/bin/busybox", "/usr/bin/busybox"}) {
    if (IsStaticProgram(path)) return std::string(path);
  }
  ASSIGN_OR_RETURN(const auto deb, DownloadPackage(workspace, "busybox-static",
                                                   workspace.path() + "/busybox-download"));
  const std::string unpacked = workspace.path() + "/busybox";
  RETURN_IF_ERROR(UnpackPackage(workspace, deb, unpacked));
  for (const char* path : {"/bin/busybox", "/usr/bin/busybox"}) {
    if (IsStaticProgram(unpacked + path)) return unpacked + path;
  }
  return Fail(Code::kInternal, "the package busybox-static has no static busybox");
}

Status MakeMinimalTree(const Workspace& workspace, const std::string& busybox,
                       const std::string& tree) {
  RETURN_IF_ERROR(MakeFolder(tree, 0755));
  for (const Folder& folder : kFolders)
    RETURN_IF_ERROR(MakeFolder(tree + folder.path, folder.mode));
  for (const TextFile& file : kFiles) {
    RETURN_IF_ERROR(WriteFileAtomically(tree + file.path, file.text, file.mode));
  }
  ASSIGN_OR_RETURN(const auto program, ReadFile(busybox, kMaxBusybox));
  RETURN_IF_ERROR(WriteFileAtomically(tree + "/bin/busybox", program, 0755));
  RETURN_IF_ERROR(LinkApplets(workspace, busybox, tree));
  RETURN_IF_ERROR(MakeLink("/run", tree + "/var/run"));
  return MakeLink("/proc/self/mounts", tree + "/etc/mtab");
}

Owner MinimalOwner(const std::string& guest_path) {
  const bool home = guest_path == "/home/user" || guest_path.starts_with("/home/user/");
  return home ? Owner{1000, 1000} : Owner{0, 0};
}

}  // namespace wrenn::template_
