// For tests: a manifest with something in every member.
#pragma once

#include "base/encoding.h"
#include "snapshot/manifest.h"

namespace wrenn::snapshot {

inline Manifest SampleManifest() {
  Manifest manifest;
  manifest.id = "sn-0123456789abcdefghij";
  manifest.sandbox = "sb-jihgfedcba9876543210";
  manifest.parent = "sn-abcdefghij0123456789";
  manifest.created_at = *ParseTime("2026-11-24T07:44:51.123Z");
  manifest.engine = "qemu/tcg";
  manifest.fingerprint = {{"build", "QEMU emulator version 7.2.22"}, {"tsc_khz", 2596132}};
  manifest.vcpus = 2;
  manifest.memory_mb = 512;
  manifest.disk_mb = 2048;
  manifest.egress = true;
  manifest.network = {{"allow_out", {"1.1.1.1", "2606:4700::/32"}}, {"upload_kbps", 1000}};
  manifest.kernel = std::string(64, '1');
  manifest.image = std::string(64, '2');
  manifest.template_name = "minimal";
  manifest.template_id = "tp-0123456789abcdefghij";
  manifest.agent_token = "secret";
  manifest.state_digest = std::string(64, '3');
  manifest.memory_digest = std::string(64, '4');
  manifest.layers = {"disk-0123456789abcdefghij.qcow2", "disk-klmnopqrstuvwxyz0123.raw"};
  manifest.layer_digests = {{manifest.layers[0], std::string(64, '5')}};
  manifest.sizes = {40960, 12 << 20, 3 << 20};
  return manifest;
}

}  // namespace wrenn::snapshot
