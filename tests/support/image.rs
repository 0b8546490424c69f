//! Container images out of random bytes, as an OCI layout, an OCI archive and a docker archive; no network, no tool.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{digest, random};

/// The name under which the archives hold the image.
pub(crate) const LOCAL: &str = "localhost/app:v1";

/// An image on disk.
#[derive(Debug)]
pub(crate) struct Image {
    /// Directory with an OCI layout whose reference is `v1`.
    pub(crate) oci: PathBuf,
    /// The layout as one archive.
    pub(crate) oci_tar: PathBuf,
    /// What `docker save` writes; the layers are uncompressed in it.
    pub(crate) docker_tar: PathBuf,
    /// Digest of the OCI manifest.
    pub(crate) manifest: String,
    /// Digest of the configuration.
    pub(crate) config: String,
    /// Digests of the compressed layers, as the OCI manifest names them.
    pub(crate) layers: Vec<String>,
}

impl Image {
    /// Makes an image of `layers` layers with `kib` KiB each below `dir`; its content is like no other's, so that no
    /// client finds a layer in another repository by accident.
    pub(crate) fn make(dir: &Path, layers: usize, kib: usize) -> Self {
        let oci = dir.join("oci");
        let blobs = oci.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        let store = |bytes: &[u8]| {
            let digest = digest(bytes);
            std::fs::write(blobs.join(&digest["sha256:".len()..]), bytes).unwrap();
            digest
        };

        let tars: Vec<Vec<u8>> = (0..layers).map(|n| tar(&[(&format!("layer{n}.bin"), &random(kib * 1024))])).collect();
        let packed: Vec<Vec<u8>> = tars.iter().map(|tar| gzip(tar)).collect();
        let layer_digests: Vec<String> = packed.iter().map(|layer| store(layer)).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z", "config": {"Cmd": ["/none"]},
            "rootfs": {"type": "layers", "diff_ids": tars.iter().map(|tar| digest(tar)).collect::<Vec<_>>()},
            "history": (0..layers).map(|n| json!({"created": "2024-01-01T00:00:00Z", "created_by": format!("layer {n}")}))
                .collect::<Vec<_>>(),
        })
        .to_string();
        let config_digest = store(config.as_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": config.len()},
            "layers": packed.iter().zip(&layer_digests).map(|(layer, digest)| json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": layer.len(),
            })).collect::<Vec<_>>(),
        })
        .to_string();
        let manifest_digest = store(manifest.as_bytes());
        let index = json!({"schemaVersion": 2, "manifests": [{
            "mediaType": MANIFEST, "digest": manifest_digest, "size": manifest.len(),
            "annotations": {"org.opencontainers.image.ref.name": "v1", "io.containerd.image.name": LOCAL},
        }]})
        .to_string();
        let layout = r#"{"imageLayoutVersion":"1.0.0"}"#;
        std::fs::write(oci.join("index.json"), &index).unwrap();
        std::fs::write(oci.join("oci-layout"), layout).unwrap();

        let mut entries: Vec<(String, Vec<u8>)> =
            vec![("index.json".into(), index.into()), ("oci-layout".into(), layout.into())];
        for entry in std::fs::read_dir(&blobs).unwrap() {
            let entry = entry.unwrap();
            let name = format!("blobs/sha256/{}", entry.file_name().to_str().unwrap());
            entries.push((name, std::fs::read(entry.path()).unwrap()));
        }
        let oci_tar = dir.join("oci.tar");
        std::fs::write(&oci_tar, tar(&borrowed(&entries))).unwrap();

        let config_name = format!("{}.json", &config_digest["sha256:".len()..]);
        let layer_names: Vec<String> = (0..layers).map(|n| format!("l{n}/layer.tar")).collect();
        let list = json!([{"Config": config_name, "RepoTags": [LOCAL], "Layers": layer_names}]).to_string();
        let mut entries: Vec<(String, Vec<u8>)> = layer_names.into_iter().zip(tars).collect();
        entries.push((config_name, config.into_bytes()));
        entries.push(("manifest.json".into(), list.into_bytes()));
        let docker_tar = dir.join("docker.tar");
        std::fs::write(&docker_tar, tar(&borrowed(&entries))).unwrap();

        Self { oci, oci_tar, docker_tar, manifest: manifest_digest, config: config_digest, layers: layer_digests }
    }
}

/// Media type of an OCI image manifest.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn borrowed(entries: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
    entries.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect()
}

/// A ustar archive of plain files.
fn tar<N: AsRef<str>, B: AsRef<[u8]>>(entries: &[(N, B)]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, bytes) in entries {
        let (name, bytes) = (name.as_ref().as_bytes(), bytes.as_ref());
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name);
        header[100..108].copy_from_slice(b"0000644\0");
        header[108..116].copy_from_slice(b"0000000\0");
        header[116..124].copy_from_slice(b"0000000\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", bytes.len()).as_bytes());
        header[136..148].copy_from_slice(b"00000000000\0");
        header[148..156].copy_from_slice(b"        ");
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(bytes);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// A gzip stream of stored blocks: random bytes do not shrink, and clients only ask that it unpacks.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = bytes.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap();
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend_from_slice(&length.to_le_bytes());
        stream.extend_from_slice(&(!length).to_le_bytes());
        stream.extend_from_slice(block);
    }
    stream.extend_from_slice(&crc32(bytes).to_le_bytes());
    stream.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
    stream
}

fn crc32(bytes: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256_u32)
        .map(|n| (0..8).fold(n, |crc, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 }))
        .collect();
    !bytes.iter().fold(!0, |crc, byte| table[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8))
}
