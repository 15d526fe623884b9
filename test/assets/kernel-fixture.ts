/** Modules of a kernel by their paths, with what each depends on, as Debian's cloud kernel has them. */
export const KERNEL_MODULES: Record<string, string[]> = {
  "kernel/drivers/virtio/virtio.ko": [],
  "kernel/drivers/virtio/virtio_ring.ko": ["virtio"],
  "kernel/drivers/virtio/virtio_pci.ko": ["virtio_ring", "virtio", "virtio_pci_modern_dev"],
  "kernel/drivers/virtio/virtio_pci_modern_dev.ko": [],
  "kernel/drivers/char/virtio_console.ko": ["virtio_ring", "virtio"],
  "kernel/drivers/scsi/virtio_scsi.ko": ["virtio_ring", "scsi_mod"],
  "kernel/drivers/scsi/scsi_mod.ko": ["scsi_common"],
  "kernel/drivers/scsi/scsi_common.ko": [],
  "kernel/drivers/scsi/sd_mod.ko": ["scsi_mod"],
  "kernel/fs/erofs/erofs.ko": [],
  "kernel/fs/overlayfs/overlay.ko": [],
  "kernel/fs/fuse/fuse.ko": [],
  "kernel/drivers/net/veth.ko": [],
  "kernel/fs/ext4/ext4.ko": ["jbd2", "crc32c_generic"],
  "kernel/fs/jbd2/jbd2.ko": [],
  "kernel/crypto/crc32c_generic.ko": [],
  "kernel/drivers/gpu/not-wanted.ko": [],
};

/** A file with a module's .modinfo section, as far as its dependencies are concerned. */
export function moduleFile(depends: readonly string[]): Buffer {
  return Buffer.from(`\x7fELF\0license=GPL\0depends=${depends.join(",")}\0retpoline=Y\0`, "latin1");
}
