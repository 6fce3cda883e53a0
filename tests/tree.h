// SPDX-License-Identifier: Apache-2.0
// A folder that stands in for /proc, /sys and /dev; removed with the object.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace tickbridge {

class Tree {
 public:
  Tree() {
    char folder[] = "/tmp/tb-tree-XXXXXX";
    if (::mkdtemp(folder) == nullptr) throw std::runtime_error("mkdtemp");
    root_ = folder;
  }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  ~Tree() { std::filesystem::remove_all(root_); }

  const std::string& root() const { return root_; }
  // As the kernel does, with a newline behind it.
  Tree& Add(const std::string& path, std::string_view text) {
    const std::filesystem::path at(root_ + path);
    std::filesystem::create_directories(at.parent_path());
    std::ofstream(at) << text << "\n";
    return *this;
  }

 private:
  std::string root_;
};

}  // namespace tickbridge
