// Files on their way to a question: each goes up by itself over HTTP, pictures as small as the models need them.
export const MOST_FILES = 8;
const MOST_PICTURE_BYTES = 1_400_000; // larger ones are drawn again, smaller
const MOST_RAW_BYTES = 60_000_000; // nobody draws a picture of this size in a browser
const MOST_TEXT_BYTES = 200_000;
const EDGES = [1600, 1200, 900];

// brings a File up and returns {id, name, picture, size, ratio}; throws {code, …} for what cannot be taken
export async function bring(file) {
  const picture = file.type.startsWith("image/");
  if (!file.size) throw { code: "file_empty" };
  if (file.size > (picture ? MOST_RAW_BYTES : MOST_TEXT_BYTES)) throw { code: "file_large", limit: picture ? MOST_RAW_BYTES : MOST_TEXT_BYTES };
  if (!picture && !(await readable(file))) throw { code: "file_kind" };
  const { data, width, height } = picture ? await drawn(file) : { data: file, width: 0, height: 0 };
  const query = new URLSearchParams({ name: file.name || "file", width, height });
  let reply;
  try {
    reply = await fetch("/desk/files?" + query, { method: "POST", body: data, headers: { "Content-Type": "application/octet-stream" } });
  } catch {
    throw { code: "file_lost" };
  }
  const told = await reply.json().catch(() => ({ code: "file_lost" }));
  if (!reply.ok) throw { code: told.code ?? "file_lost", ...told };
  return told;
}

// whether it looks like a text: one has no zero bytes, unless it is in UTF-16 and says so
async function readable(file) {
  const head = new Uint8Array(await file.slice(0, 4096).arrayBuffer());
  return !head.includes(0) || ["255,254", "254,255"].includes(head.slice(0, 2).join());
}

// a picture that every model can read: PNG or JPEG, at most 1600 px
async function drawn(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw { code: "file_picture" };
  }
  const { width, height } = bitmap;
  const plain = ["image/png", "image/jpeg"].includes(file.type);
  if (plain && file.size <= MOST_PICTURE_BYTES && Math.max(width, height) <= EDGES[0]) return { data: file, width, height };
  for (const edge of EDGES) {
    const scale = Math.min(1, edge / Math.max(width, height));
    const canvas = new OffscreenCanvas(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
    const pen = canvas.getContext("2d");
    pen.fillStyle = "#fff"; // behind what is see-through
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const data = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.86 });
    if (data.size <= MOST_PICTURE_BYTES || edge === EDGES.at(-1)) return { data, width: canvas.width, height: canvas.height };
  }
}

export const Attached = {
  name: "ComposerAttached",
  // files: [{key, name, picture, size, url, id?, busy?}]
  props: { files: Array, labels: Object, amount: Function },
  emits: ["remove"],
  template: `
  <ul class="attached" :aria-label="labels.files">
    <li v-for="file in files" :key="file.key" :class="{ picture: file.picture, busy: !file.id }" :title="file.name" :aria-busy="!file.id">
      <img v-if="file.picture && (file.id || file.url)" :src="file.id ? '/desk/files/' + file.id : file.url" :alt="file.name">
      <template v-else><i class="icon small icon-file" aria-hidden="true"></i><span class="clip">{{ file.name }}</span><span class="faint">{{ amount(file.size) }}</span></template>
      <button type="button" class="attached-off" :aria-label="labels.remove_file.replace('{name}', () => file.name)" @click="$emit('remove', file.key)"><i class="icon icon-close" aria-hidden="true"></i></button>
    </li>
  </ul>`,
};
